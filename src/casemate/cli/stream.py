"""Copies between our standard streams and a container's, until the container's end.

One loop over everything that can happen, so that no direction can hold up another: what we cannot
pass on yet is not read either. Source: man 2 poll; man 7 pipe on PIPE_BUF.
"""

from __future__ import annotations

import os
import select
import stat
from _socket import SHUT_WR

from casemate.cli.frames import Demultiplexer
from casemate.cli.terminal import STDIN, KeyWatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable

    from casemate.cli.signals import SignalPipe

_READ = 256 << 10
#: A descriptor that poll finds writable takes so much without blocking.
_PIPE_BUF = 4096


class Streams:
    """One connection to a container's streams, and ours.

    ``early`` was received with the head of the answer. With ``stdin`` ours is sent; with ``tty``
    the connection is not in frames, and ``keys`` end it. ``listens`` is False when the container's
    output was not asked for.
    """

    def __init__(
        self,
        sock: _socket.socket,
        early: bytes,
        *,
        stdin: bool,
        tty: bool,
        keys: bytes = b"",
        listens: bool = True,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._stdin_open = stdin
        self._sends = stdin
        self._listens = listens
        self._frames = None if tty else Demultiplexer()
        self._keys = KeyWatch(keys if tty else b"")
        self._to_container = b""
        self._to_us: list[tuple[int, memoryview]] = []
        self._limits: dict[int, int] = {}
        self._ended = False
        self._take(early)

    def copy(self, signals: SignalPipe, on_signal: Callable[[int], None], until: int = -1) -> bool:
        """Copy to the end; return False when the detach keys were typed.

        ``on_signal`` is called for each signal. When we do not listen, the end is also when
        ``until`` becomes readable. Raises BrokenPipeError when nobody reads our output.
        """
        while not self._ended or self._to_us:
            for descriptor, _ in self._waiting(signals.descriptor, until).poll():
                if descriptor == signals.descriptor:
                    for number in signals.arrived():
                        on_signal(number)
                elif descriptor == until:
                    return True
                elif descriptor == self._sock.fileno():
                    self._on_socket()
                elif descriptor == STDIN:
                    if self._on_stdin():
                        return False
                else:
                    self._write_out()
        return True

    def _waiting(self, signals: int, until: int) -> select.poll:
        """Return everything that can bring us forward now."""
        waiting = select.poll()
        waiting.register(signals, select.POLLIN)
        wanted = select.POLLOUT if self._to_container else 0
        if not self._to_us and not self._ended:
            wanted |= select.POLLIN
        if wanted:
            waiting.register(self._sock.fileno(), wanted)
        if self._stdin_open and not self._to_container:
            waiting.register(STDIN, select.POLLIN)
        if self._to_us:
            waiting.register(self._to_us[0][0], select.POLLOUT)
        if until >= 0 and not self._listens:
            waiting.register(until, select.POLLIN)
        return waiting

    def _on_socket(self) -> None:
        if self._to_container:
            self._send()
        if self._to_us or self._ended:
            return
        try:
            data = self._sock.recv(_READ)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if data:
            self._take(data)
        else:
            self._ended = True

    def _on_stdin(self) -> bool:
        """Read what there is on standard input; return whether the detach keys were in it."""
        try:
            data = os.read(STDIN, _READ)
        except OSError:
            data = b""  # closed, or a terminal that hung up
        self._to_container, detached = self._keys.feed(data)
        if not data:
            self._stdin_open = False
        self._send()
        return detached

    def _send(self) -> None:
        try:
            while self._to_container:
                self._to_container = self._to_container[self._sock.send(self._to_container) :]
            if not self._stdin_open and self._sends:
                self._sends = False
                self._sock.shutdown(SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            # The container does not take it any more; its output tells the rest.
            self._to_container = b""
            self._stdin_open = self._sends = False

    def _take(self, data: bytes) -> None:
        if not data:
            return
        if self._frames is None:
            self._to_us.append((1, memoryview(data)))
        else:
            self._to_us += self._frames.feed(data)

    def _write_out(self) -> None:
        descriptor, piece = self._to_us[0]
        limit = self._limits.get(descriptor)
        if limit is None:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            limit = self._limits[descriptor] = len(piece) + _READ if regular else _PIPE_BUF
        piece = piece[os.write(descriptor, piece[:limit]) :]
        if piece:
            self._to_us[0] = (descriptor, piece)
        else:
            self._to_us.pop(0)
