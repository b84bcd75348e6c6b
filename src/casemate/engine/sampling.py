"""Containers that are followed: each is looked at once a second, however many follow it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

_PERIOD_S = 1.0


class Sample(NamedTuple):
    """What all followers of a container are told. ``compares``: an earlier look is part of it."""

    number: int
    body: bytes
    compares: bool


#: Returns the body, and whether it compares; None when there is nothing to follow any more.
Look = Callable[[], Awaitable[tuple[bytes, bool] | None]]


class Feed:
    """The newest sample of one container. Nobody is kept waiting: who is slow misses samples."""

    def __init__(self, look: Look) -> None:
        self.followers = 0
        self._look = look
        self._newest: Sample | None = None
        self._ended = False
        self._changed = asyncio.Event()

    async def after(self, number: int) -> Sample | None:
        """Return the newest sample once it is later than ``number``; None when there is an end."""
        while not self._ended and (self._newest is None or self._newest.number <= number):
            await self._changed.wait()
        return None if self._ended else self._newest

    async def run(self) -> None:
        """Look every second, until there is nothing to see or nobody to tell."""
        number = 0
        try:
            while found := await self._look():
                number += 1
                self._tell(Sample(number, *found))
                await asyncio.sleep(_PERIOD_S)
                if not self.followers:
                    return
        finally:
            self._ended = True
            self._changed.set()

    def _tell(self, sample: Sample) -> None:
        self._newest = sample
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Sampling:
    """The feeds of the containers that are followed, by id."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def followed(self, id_: str, look: Look) -> Iterator[Feed]:
        """Give the feed of a container, which is begun with ``look`` unless others follow it.

        A feed goes on for the rest of its second when nobody follows it any more, for those who
        ask again and again.
        """
        feed = self._feeds.get(id_)
        if feed is None:
            feed = self._feeds[id_] = Feed(look)
            task = asyncio.get_running_loop().create_task(self._run(id_, feed))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1

    async def _run(self, id_: str, feed: Feed) -> None:
        try:
            await feed.run()
        finally:
            del self._feeds[id_]

    def close(self) -> None:
        """Stop looking."""
        for task in self._tasks:
            task.cancel()
