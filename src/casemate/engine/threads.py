"""Blocking work beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


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
