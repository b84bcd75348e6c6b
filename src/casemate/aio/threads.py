"""Short blocking work beside the event loop, and waiting for sockets in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from socket import MSG_DONTWAIT
from typing import TypeVar

from casemate.client.attached import Attached
from casemate.client.talk import READ, Limits, Sender, expire, give_up, take

T = TypeVar("T")

_MOST = 64


class Threads:
    """Runs short blocking work; what is begun is always done to its end."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_MOST, "casemate-aio")

    async def do(self, work: Callable[[], T]) -> T:
        """Do ``work`` and return what it does; who is cancelled waits for nothing."""
        return await asyncio.shield(self.begin(work))

    async def make(self, work: Callable[[], T], undo: Callable[[T], object]) -> T:
        """Do ``work``, and ``undo`` what it has made when nobody waits for it any more."""
        future = self._pool.submit(work)
        try:
            return await asyncio.shield(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            self._pool.submit(lambda: undo(future.result()))
            raise

    def close(self) -> None:
        """Take no more work; what is begun goes on."""
        self._pool.shutdown(wait=False)

    def begin(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Begin ``work``, for which nobody needs to wait."""
        future = asyncio.wrap_future(self._pool.submit(work))
        future.add_done_callback(_seen)
        return future


async def talk(
    threads: Threads,
    process: Attached,
    limits: Limits,
    sender: Sender,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Do as ``client.talk.talk`` does, the event loop waiting for the socket."""
    while not process.output.ended and not enough():
        try:
            async with asyncio.timeout(limits.left_s()):
                await ready(process.sock.fileno(), writing=not sender.done)
        except TimeoutError:
            if limits.killed:
                return give_up(process)
            await threads.do(lambda: expire(process, limits))
            continue
        if not sender.done:
            sender.push()
        try:
            data = process.sock.recv(READ, MSG_DONTWAIT)
        except BlockingIOError:
            continue
        except ConnectionError:
            data = b""
        if take(process, limits, data):
            await threads.do(process.kill)


async def ready(descriptor: int, *, writing: bool = False) -> None:
    """Wait until ``descriptor`` can be read, or written as well."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(descriptor, tell)
    if writing:
        loop.add_writer(descriptor, tell)
    try:
        await future
    finally:
        loop.remove_reader(descriptor)
        if writing:
            loop.remove_writer(descriptor)


def _seen(future: asyncio.Future[T]) -> None:
    """Look at the error of work that nobody may wait for any more."""
    if not future.cancelled():
        future.exception()
