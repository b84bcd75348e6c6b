"""Wakes whoever waits for a change in a directory: one inotify queue for all of an engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator

from casemate.linux import inotify

_CHANGES = (
    inotify.IN_MODIFY
    | inotify.IN_CREATE
    | inotify.IN_MOVED_TO
    | inotify.IN_DELETE
    | inotify.IN_ONLYDIR
)


class Watching:
    """Directories that somebody watches."""

    def __init__(self) -> None:
        self._queue: int | None = None
        self._waiters: dict[int, set[asyncio.Event]] = {}

    @contextlib.contextmanager
    def watched(self, directory: str) -> Iterator[asyncio.Event]:
        """Give an event that is set at each change in ``directory``. Raises OSError."""
        queue = self._open()
        number = inotify.watch(queue, directory, _CHANGES)
        event = asyncio.Event()
        waiters = self._waiters.setdefault(number, set())
        waiters.add(event)
        try:
            yield event
        finally:
            waiters.discard(event)
            if not waiters and self._waiters.pop(number, None) is not None:
                # A removed directory has taken its watch along.
                with contextlib.suppress(OSError):
                    inotify.unwatch(queue, number)

    def close(self) -> None:
        """Close the queue."""
        if self._queue is not None:
            asyncio.get_running_loop().remove_reader(self._queue)
            os.close(self._queue)
            self._queue = None

    def _open(self) -> int:
        if self._queue is None:
            self._queue = inotify.open_queue()
            asyncio.get_running_loop().add_reader(self._queue, self._readable, self._queue)
        return self._queue

    def _readable(self, queue: int) -> None:
        for number, mask in inotify.events(queue):
            if mask & inotify.IN_Q_OVERFLOW:
                for waiters in self._waiters.values():
                    _wake(waiters)
            _wake(self._waiters.get(number, set()))


def _wake(waiters: set[asyncio.Event]) -> None:
    for event in waiters:
        event.set()
