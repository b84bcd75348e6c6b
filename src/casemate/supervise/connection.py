"""One connection to a shim: requests in order, events as they come."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

from casemate.errors import Unavailable
from casemate.supervise.protocol import (
    EV_DONE,
    MAX_BYTES,
    MAX_DESCRIPTORS,
    Message,
    decode,
)

Descriptors = tuple[int, ...]
#: Called for each event that answers no request; owns the descriptors.
OnEvent = Callable[[Message, Descriptors], None]


class Gone(Unavailable):
    """The shim has closed the connection: its container is over, or it was killed."""


class Connection:
    """Sends requests to one shim and hands out its events. Not for more than one event loop."""

    def __init__(
        self, sock: socket.socket, on_event: OnEvent, on_close: Callable[[], None]
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._on_event = on_event
        self._on_close = on_close
        self._waiting: deque[asyncio.Future[Descriptors]] = deque()
        self._unsent: deque[tuple[bytes, list[int]]] = deque()
        self.closed = False
        self._loop.add_reader(sock.fileno(), self._readable)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send a message whose answer comes as an event. Raises Gone.

        The descriptors may be closed by the caller as soon as this returns.
        """
        if self.closed:
            raise Gone("the shim is gone")
        if self._unsent or not self._try(message.encode(), descriptors):
            self._unsent.append((message.encode(), [os.dup(d) for d in descriptors]))
            self._loop.add_writer(self._sock.fileno(), self._writable)

    def request(
        self, message: Message, descriptors: Sequence[int] = ()
    ) -> asyncio.Future[Descriptors]:
        """Send a message that is answered by EV_DONE; the future holds the answer's descriptors.

        It raises OSError with the shim's errno, or Gone.
        """
        future: asyncio.Future[Descriptors] = self._loop.create_future()
        self.send(message, descriptors)
        self._waiting.append(future)
        return future

    def close(self) -> None:
        """Close the connection; the shim and its container go on."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        for _, descriptors in self._unsent:
            _close_all(descriptors)
        self._unsent.clear()
        for future in self._waiting:
            if not future.done():
                future.set_exception(Gone("the shim is gone"))
                future.exception()  # a caller that gave up need not look
        self._waiting.clear()

    def _try(self, data: bytes, descriptors: Sequence[int]) -> bool:
        try:
            socket.send_fds(self._sock, [data], descriptors, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                raise Gone("the shim is gone") from error
            raise
        return True

    def _writable(self) -> None:
        while self._unsent:
            data, descriptors = self._unsent[0]
            try:
                if not self._try(data, descriptors):
                    return
            except Gone:
                break  # the reader sees the end as well, and tells
            _close_all(descriptors)
            self._unsent.popleft()
        self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        # A few messages a turn, so that one busy shim does not keep the others waiting.
        for _ in range(16):
            try:
                data, descriptors, _, _ = socket.recv_fds(
                    self._sock, MAX_BYTES, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except ConnectionResetError:
                # The shim has left without reading a request of ours. This is said once, before
                # its last messages can be read.
                continue
            if not data:
                self.close()
                self._on_close()
                return
            self._dispatch(decode(data), tuple(descriptors))
            if self.closed:
                return

    def _dispatch(self, message: Message, descriptors: Descriptors) -> None:
        if message.kind != EV_DONE:
            self._on_event(message, descriptors)
            return
        future = self._waiting.popleft()
        if future.cancelled():
            _close_all(descriptors)
        elif message.a:
            _close_all(descriptors)
            future.set_exception(OSError(message.a, os.strerror(message.a)))
        else:
            future.set_result(descriptors)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
