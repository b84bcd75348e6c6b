"""Warm sandboxes, for an event loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, Unpack

from casemate.aio.engine import Engine
from casemate.aio.threads import Threads, talk
from casemate.client import pool
from casemate.client.archives import Content
from casemate.client.container import OUTPUT_LIMIT_BYTES, ExecOptions
from casemate.client.options import Options
from casemate.client.result import Result
from casemate.client.talk import Sender


class Pool:
    """Sandboxes that are ready, as ``casemate.Pool``; use it in an ``async with`` statement."""

    def __init__(
        self,
        image: str,
        size: int = 4,
        *,
        idle: Sequence[str] = pool.IDLE,
        engine: Engine | None = None,
        **options: Unpack[Options],
    ) -> None:
        own = engine.blocking if engine else None
        self._pool = pool.Pool(image, size, idle=idle, engine=own, **options)
        self._threads = Threads()

    async def __aenter__(self) -> Self:
        await self._threads.make(self._pool.__enter__, lambda made: made.close())
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Remove all sandboxes."""
        await self._threads.do(self._pool.close)
        self._threads.close()

    async def run(
        self,
        command: Sequence[str],
        *,
        timeout: float | str | None = None,
        input: bytes | None = None,
        files: Mapping[str, Content] = {},
        collect: Sequence[str] = (),
        check: bool = False,
        output_limit: int | str = OUTPUT_LIMIT_BYTES,
        **options: Unpack[ExecOptions],
    ) -> Result:
        """Run a command in a sandbox that nobody has used. Raises as the blocking one does."""
        own, threads = self._pool, self._threads
        job = own.job(command, timeout, input, files, collect, output_limit, options)
        sandbox = await threads.make(own.take, own.give_back)
        try:
            process, limits = await threads.make(
                lambda: own.begin(sandbox, job), lambda begun: begun[0].close()
            )
            try:
                await talk(threads, process, limits, Sender(process.sock, job.input))
                result = await threads.do(lambda: own.conclude(sandbox, process, limits, job))
            finally:
                process.close()
        finally:
            await threads.do(lambda: own.give_back(sandbox))
        return result.check() if check else result
