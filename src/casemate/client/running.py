"""A container that is ours and runs: what ``with casemate.run(…) as c`` gives."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Iterator

from casemate.client import values
from casemate.client.attached import First
from casemate.client.connections import Connections
from casemate.client.container import Container
from casemate.client.output import STDERR, STDOUT
from casemate.client.result import Result
from casemate.client.talk import Limits, Sender, concluded, expire, talk
from casemate.errors import Error

#: A longer line is not waited for to its end.
_MAX_LINE = 16 << 20
PIECE = 1 << 16


class Running(Container):
    """A container that lives at most as long as the ``with`` statement, and as this process."""

    def __init__(
        self, connections: Connections, process: First, limits: Limits, data: bytes | None
    ) -> None:
        super().__init__(connections, process.id)
        #: The steps of a run, which both faces take.
        self.process = process
        self.limits = limits
        self.sender = Sender(process.sock, data)
        self._lock = threading.RLock()
        self._result: Result | None = None
        self._watchdog: threading.Timer | None = None
        #: What the program writes, as it comes.
        self.stdout = Reader(lambda size: self.read(STDOUT, size))
        self.stderr = Reader(lambda size: self.read(STDERR, size))
        #: What the program reads, when ``stdin=True`` was asked for; closing it is the end.
        self.stdin = Writer(process)

    @property
    def exit_code(self) -> int | None:
        """The exit code, None until somebody has waited for it."""
        return self._result.exit_code if self._result else None

    def wait(self) -> int:
        """Wait until it has ended and is removed, and return its exit code.

        Raises Timeout and OutputLimit.
        """
        return self.result().exit_code

    def result(self) -> Result:
        """Wait as ``wait`` does; the streams of the result are what nobody has read before."""
        with self._lock:
            if self._result is None:
                talk(self.process, self.limits, self.sender)
                self._conclude()
            assert self._result
            return concluded(self.process, self.limits, self._result)

    @property
    def lost(self) -> bool:
        """It has ended, or nobody can reach it any more."""
        poll = select.poll()
        poll.register(self.process.sock, 0)  # a hang-up is always told
        return self.process.output.ended or bool(poll.poll(0))

    def watch(self) -> None:
        """Have the container killed when its time is over, whatever the caller does meanwhile."""
        left_s = self.limits.left_s()
        if left_s is not None:
            self._watchdog = threading.Timer(left_s, expire, (self.process, self.limits))
            self._watchdog.daemon = True
            self._watchdog.start()

    def unwatch(self) -> None:
        """Let the watchdog go."""
        if self._watchdog:
            self._watchdog.cancel()
            self._watchdog = None

    def end(self) -> None:
        """Kill it if it runs, and wait until it is removed."""
        try:
            self.condemn()
            with self._lock:
                if self._result is None:
                    talk(self.process, self.limits, self.sender)
                    self._conclude()
        except Error:
            pass  # the engine is gone: closing the connection ends it all the same
        finally:
            self.process.close()

    def condemn(self) -> None:
        """Kill it if it runs. Raises the Error of the engine."""
        self.unwatch()
        if self._result is None:
            self.limits.killed = True
            self.process.kill()

    def _conclude(self) -> None:
        output, code = self.process.output, self.process.finish()
        self.unwatch()
        self._result = Result(code, output.take(STDOUT), output.take(STDERR))

    def read(self, stream: int, size: int) -> bytes:
        """Return up to ``size`` bytes of a stream, waiting for one at least; b"" at its end."""
        with self._lock:
            buffer = self.process.output.buffers[stream]
            if not buffer and self._result is None:
                talk(self.process, self.limits, self.sender, lambda: bool(buffer))
            if not buffer:
                concluded(self.process, self.limits, Result(137))
            return self.process.output.take(stream, size)


class Lines:
    """Takes lines out of what arrives; also for who waits elsewhere."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Take what has arrived."""
        self._rest += piece

    def line(self, *, ended: bool) -> bytes | None:
        """Return the next line with its line break, None when it is not whole yet.

        At the end, and when it is too long to wait for, a line is what there is.
        """
        if b"\n" in self._rest:
            line, _, self._rest = self._rest.partition(b"\n")
            return line + b"\n"
        return self.take() if ended or len(self._rest) > _MAX_LINE else None

    def take(self, size: int = -1) -> bytes:
        """Return and forget up to ``size`` bytes, all for -1."""
        data = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(data) :]
        return data


class Reader:
    """One stream of a program: read it, or go through its lines."""

    def __init__(self, more: Callable[[int], bytes]) -> None:
        self._more = more
        self._lines = Lines()

    def read(self, size: int = -1) -> bytes:
        """Return what there is, up to ``size`` bytes, b"" at the end; for -1 all to the end."""
        data = self._lines.take(size)
        if size >= 0:
            return data or (self._more(size) if size else b"")
        pieces = [data]
        while piece := self._more(PIECE):
            pieces.append(piece)
        return b"".join(pieces)

    def readline(self) -> bytes:
        """Return the next line with its line break; b"" at the end."""
        ended = False
        while (line := self._lines.line(ended=ended)) is None:
            piece = self._more(PIECE)
            self._lines.feed(piece)
            ended = not piece
        return line

    def __iter__(self) -> Iterator[bytes]:
        """Go through the lines."""
        while line := self.readline():
            yield line


class Writer:
    """The input of a program."""

    def __init__(self, process: First) -> None:
        self._process = process

    def write(self, data: bytes) -> None:
        """Send input; waits while the program does not read. Raises BrokenPipeError at its end."""
        self._process.sock.sendall(values.data("data", data))

    def close(self) -> None:
        """Say that there is no more."""
        with contextlib.suppress(OSError):  # it has ended
            self._process.sock.shutdown(socket.SHUT_WR)
