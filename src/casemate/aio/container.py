"""A container, by its name or id, for an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Unpack

from casemate.aio.threads import Threads, ready, talk
from casemate.client import archives, container, values
from casemate.client.archives import Content
from casemate.client.attached import status_of
from casemate.client.container import OUTPUT_LIMIT_BYTES, ExecOptions, ended
from casemate.client.result import Result
from casemate.client.talk import Limits, Sender


class Container:
    """A container of an engine; the methods are those of ``casemate.Container``."""

    def __init__(self, threads: Threads, blocking: container.Container) -> None:
        self._threads = threads
        self._blocking = blocking
        self.id = blocking.id

    def __repr__(self) -> str:
        return f"<aio.{type(self).__name__} {self.id[:12]}>"

    async def inspect(self) -> dict[str, Any]:
        """Return everything that the engine tells of it."""
        return await self._threads.do(self._blocking.inspect)

    async def start(self) -> None:
        """Start it; nothing happens when it runs."""
        await self._threads.do(self._blocking.start)

    async def stop(self, timeout: float | None = None) -> None:
        """Send its stop signal, and kill it after ``timeout`` seconds (default: its own)."""
        await self._threads.do(lambda: self._blocking.stop(timeout))

    async def restart(self) -> None:
        """Stop and start it."""
        await self._threads.do(self._blocking.restart)

    async def kill(self, signal: str | int = "KILL") -> None:
        """Send a signal, by name or number, to its first process."""
        await self._threads.do(lambda: self._blocking.kill(signal))

    async def pause(self) -> None:
        """Freeze all its processes."""
        await self._threads.do(self._blocking.pause)

    async def unpause(self) -> None:
        """Let its processes go on."""
        await self._threads.do(self._blocking.unpause)

    async def wait(self) -> int:
        """Wait until it does not run, and return its exit code."""
        reply = await self._threads.make(
            self._blocking.ask_for_end, lambda reply: reply.detach()[0].close()
        )
        sock, early = reply.detach()
        try:
            if not early:
                await ready(sock.fileno())
            return await self._threads.do(lambda: status_of(reply))
        finally:
            sock.close()

    async def remove(self, *, force: bool = False) -> None:
        """Remove it; with ``force`` also when it runs."""
        await self._threads.do(lambda: self._blocking.remove(force=force))

    async def stats(self) -> dict[str, Any]:
        """Return what it uses now."""
        return await self._threads.do(self._blocking.stats)

    async def logs(self, *, tail: int | None = None) -> Result:
        """Return what its log has of both streams."""
        return await self._threads.do(lambda: self._blocking.logs(tail=tail))

    async def follow(self) -> AsyncIterator[bytes]:
        """Yield the lines of its log, both streams, to its end; each with its line break.

        A thread waits for each line.
        """
        lines = self._blocking.follow()
        while (line := await self._threads.do(lambda: next(lines, None))) is not None:
            yield line

    async def exec(
        self,
        command: Sequence[str],
        *,
        input: bytes | None = None,
        timeout: float | str | None = None,
        check: bool = False,
        output_limit: int | str = OUTPUT_LIMIT_BYTES,
        **options: Unpack[ExecOptions],
    ) -> Result:
        """Run one more process to its end. Raises as the blocking one does."""
        limits_s = None if timeout is None else values.seconds("timeout", timeout)
        process = await self._threads.make(
            lambda: self._blocking.start_exec(command, input is not None, output_limit, options),
            lambda process: process.close(),
        )
        limits = Limits(limits_s)
        try:
            await talk(self._threads, process, limits, Sender(process.sock, input))
            result = await self._threads.do(lambda: ended(process, limits))
        finally:
            process.close()
        return result.check() if check else result

    async def put(self, path: str, content: Content) -> None:
        """Write one file; directories that are missing are made."""
        await self.put_all({path: content})

    async def put_all(self, files: Mapping[str, Content]) -> None:
        """Write several files by their paths; directories that are missing are made."""
        await self._threads.do(lambda: self._blocking.put_all(files))

    async def get(self, path: str, *, limit: int | str = archives.LIMIT_BYTES) -> bytes:
        """Return the content of the regular file ``path``. Raises NotFound, InvalidArgument."""
        return await self._threads.do(lambda: self._blocking.get(path, limit=limit))

    async def get_all(
        self, path: str, *, limit: int | str = archives.LIMIT_BYTES
    ) -> dict[str, bytes]:
        """Return the regular files at and below ``path``, by their paths in the container."""
        return await self._threads.do(lambda: self._blocking.get_all(path, limit=limit))
