"""One run of a container, to be awaited or used in an ``async with`` statement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Any

from casemate.aio.container import Container
from casemate.aio.threads import Threads, talk
from casemate.client import running
from casemate.client.output import STDERR, STDOUT
from casemate.client.result import Result
from casemate.client.running import PIECE, Lines
from casemate.client.talk import expire
from casemate.errors import Error

Start = Callable[[], running.Running]


class Running(Container):
    """A container that lives at most as long as the ``async with`` statement."""

    def __init__(self, threads: Threads, blocking: running.Running) -> None:
        super().__init__(threads, blocking)
        self._running = blocking
        self._lock = asyncio.Lock()
        self._watchdog: asyncio.TimerHandle | None = None
        #: What the program writes, as it comes.
        self.stdout = Reader(lambda size: self._read(STDOUT, size))
        self.stderr = Reader(lambda size: self._read(STDERR, size))
        #: What the program reads, when ``stdin=True`` was asked for; closing it is the end.
        self.stdin = Writer(blocking)

    @property
    def exit_code(self) -> int | None:
        """The exit code, None until somebody has waited for it."""
        return self._running.exit_code

    async def wait(self) -> int:
        """Wait until it has ended and is removed, and return its exit code.

        Raises Timeout and OutputLimit.
        """
        return (await self.result()).exit_code

    async def result(self) -> Result:
        """Wait as ``wait`` does; the streams of the result are what nobody has read before."""
        async with self._lock:
            await self._talk(lambda: False)
            return await self._threads.do(self._running.result)

    def watch(self) -> None:
        """Have the container killed when its time is over, whatever the caller does meanwhile."""
        own, threads = self._running, self._threads
        left_s = own.limits.left_s()
        if left_s is not None:
            loop = asyncio.get_running_loop()
            self._watchdog = loop.call_later(
                left_s, threads.begin, lambda: expire(own.process, own.limits)
            )

    async def end(self) -> None:
        """Kill it if it runs, and wait until it is removed."""
        if self._watchdog:
            self._watchdog.cancel()
        try:
            await self._threads.do(self._running.condemn)
        except Error:
            pass  # the engine is gone: closing the connection ends it all the same
        async with self._lock:  # who still reads sees the end first
            await self._threads.do(self._running.end)

    async def _read(self, stream: int, size: int) -> bytes:
        async with self._lock:
            buffer = self._running.process.output.buffers[stream]
            await self._talk(lambda: bool(buffer))
            return self._running.read(stream, size)  # what there is: it does not wait

    async def _talk(self, enough: Callable[[], bool]) -> None:
        own = self._running
        await talk(self._threads, own.process, own.limits, own.sender, enough)


class Reader:
    """One stream of a program: read it, or go through its lines."""

    def __init__(self, more: Callable[[int], Awaitable[bytes]]) -> None:
        self._more = more
        self._lines = Lines()

    async def read(self, size: int = -1) -> bytes:
        """Return what there is, up to ``size`` bytes, b"" at the end; for -1 all to the end."""
        data = self._lines.take(size)
        if size >= 0:
            return data or (await self._more(size) if size else b"")
        pieces = [data]
        while piece := await self._more(PIECE):
            pieces.append(piece)
        return b"".join(pieces)

    async def readline(self) -> bytes:
        """Return the next line with its line break; b"" at the end."""
        ended = False
        while (line := self._lines.line(ended=ended)) is None:
            piece = await self._more(PIECE)
            self._lines.feed(piece)
            ended = not piece
        return line

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Go through the lines."""
        while line := await self.readline():
            yield line


class Writer:
    """The input of a program."""

    def __init__(self, blocking: running.Running) -> None:
        self._sock = blocking.process.sock
        self._blocking = blocking.stdin

    async def write(self, data: bytes) -> None:
        """Send input; waits while the program does not read. Raises BrokenPipeError at its end."""
        self._sock.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    def close(self) -> None:
        """Say that there is no more."""
        self._blocking.close()


class Run:
    """A container to be. ``await`` it for its result, or use it in an ``async with`` statement."""

    def __init__(
        self, threads: Threads, start: Start, *, check: bool, close: Callable[[], None]
    ) -> None:
        self._threads = threads
        self._start = start
        self._check = check
        self._close = close
        self._running: Running | None = None

    def __await__(self) -> Generator[Any, None, Result]:
        return self._whole().__await__()

    async def __aenter__(self) -> Running:
        try:
            started = await self._threads.make(self._start, lambda made: made.end())
        except BaseException:
            self._close()
            raise
        self._running = Running(self._threads, started)
        self._running.watch()
        return self._running

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        assert self._running
        try:
            await asyncio.shield(self._running.end())
        finally:
            self._close()

    async def _whole(self) -> Result:
        async with self as running:
            result = await running.result()
        return result.check() if self._check else result
