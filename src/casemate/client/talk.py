"""Talks with an attached process until a time: sends what it shall read, takes what it says."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable

from casemate.client.attached import Attached
from casemate.client.result import OutputLimit, Result, Timeout

READ = 1 << 16
#: How long a container that was killed may take to be gone.
_PATIENCE_S = 30.0


class Limits:
    """Until when a process may run: ``timeout_s`` from now, None for ever."""

    def __init__(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s
        self._end = None if timeout_s is None else time.monotonic() + timeout_s
        #: The time was over and somebody has had the container killed for it.
        self.expired = False
        #: It was killed, for whatever reason: it has some time to leave.
        self.killed = False

    def left_s(self) -> float | None:
        """Return what is left of the time, None for ever."""
        if self.killed:
            return _PATIENCE_S
        return None if self._end is None else max(0.0, self._end - time.monotonic())


class Sender:
    """Input on its way to a process; what it does not take is its own affair."""

    def __init__(self, sock: socket.socket, data: bytes | None) -> None:
        self._sock = sock
        self._rest = memoryview(data or b"")
        self.done = data is None

    def push(self) -> None:
        """Send what the socket takes now, and then the end of the input."""
        try:
            if self._rest:
                self._rest = self._rest[self._sock.send(self._rest, socket.MSG_DONTWAIT) :]
            if not self._rest:
                self.done = True
                self._sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self.done = True  # it has ended; its output tells the rest


def talk(
    process: Attached,
    limits: Limits,
    sender: Sender,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Feed the process and take its output, until its end or there is ``enough``.

    When the time is over, or more is written than is kept, the container is killed.
    """
    poll = select.poll()
    while not process.output.ended and not enough():
        poll.register(process.sock, select.POLLIN | (0 if sender.done else select.POLLOUT))
        events = poll.poll(_milliseconds(limits.left_s()))
        if not events:
            if limits.killed:
                return give_up(process)
            expire(process, limits)
            continue
        if events[0][1] & select.POLLOUT:
            sender.push()
        if events[0][1] & ~select.POLLOUT:
            if take(process, limits, received(process.sock)):
                process.kill()


def received(sock: socket.socket) -> bytes:
    """Return what has arrived; a connection that broke has ended."""
    try:
        return sock.recv(READ)
    except ConnectionError:
        return b""


def take(process: Attached, limits: Limits, data: bytes) -> bool:
    """Take output; True when there is more than is kept: the caller has the container killed."""
    process.output.feed(data)
    if process.output.overflowed and not limits.killed:
        limits.killed = True
        return True
    return False


def expire(process: Attached, limits: Limits) -> None:
    """Have the container killed because its time is over."""
    if not limits.killed:
        limits.killed = limits.expired = True
        process.kill()


def give_up(process: Attached) -> None:
    """Wait no longer for the streams of a container that was killed."""
    process.output.feed(b"")
    with contextlib.suppress(OSError):
        process.sock.shutdown(socket.SHUT_RDWR)


def concluded(process: Attached, limits: Limits, result: Result) -> Result:
    """Return the result of a process that has ended. Raises Timeout, OutputLimit."""
    if limits.expired and limits.timeout_s is not None:
        raise Timeout(limits.timeout_s, result)
    if process.output.overflowed:
        raise OutputLimit(process.output.limit_bytes, result)
    return result


def _milliseconds(left_s: float | None) -> int | None:
    return None if left_s is None else int(left_s * 1000) + 1
