"""Blocking work beside the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from casemate.errors import Unavailable

T = TypeVar("T")

_SHARED = min(32, (os.cpu_count() or 1) + 4)


def start_shared() -> None:
    """Start all threads that the running event loop shares. Raises Unavailable.

    Who asks for work and hears that there is no thread for it must not find it done later, by a
    thread that came in the meantime: so no thread is started when work is there already.
    """
    pool = ThreadPoolExecutor(_SHARED, "shared")
    all_there = threading.Barrier(_SHARED)
    try:
        for started in [pool.submit(all_there.wait) for _ in range(_SHARED)]:
            started.result()
    except RuntimeError as error:
        all_there.abort()
        pool.shutdown()
        raise Unavailable("cannot start the engine: no more threads may be started") from error
    asyncio.get_running_loop().set_default_executor(pool)


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking ``work`` beside the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, work)


async def in_own_thread(work: Callable[[], T]) -> T:
    """Run blocking ``work`` that waits for a client or a registry: in a thread that nobody else
    needs, as they may be slow, and many.
    """
    pool = ThreadPoolExecutor(1, "waiting")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work)
    finally:
        pool.shutdown(wait=False)


async def pieces(source: Generator[T, None, None]) -> AsyncGenerator[T, None]:
    """Yield what the blocking ``source`` does, each piece made in a thread; close it in the end."""
    step = asyncio.ensure_future(in_thread(lambda: next(source, None)))
    try:
        while (piece := await asyncio.shield(step)) is not None:
            yield piece
            step = asyncio.ensure_future(in_thread(lambda: next(source, None)))
    finally:
        # What runs cannot be closed; what it may say at the end is nobody's any more.
        await asyncio.gather(step, return_exceptions=True)
        await in_thread(source.close)
