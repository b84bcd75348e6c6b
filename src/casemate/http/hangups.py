"""Tells when half-closed connections are closed for good, for which asyncio has no event."""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable


class HangUps:
    """Watches sockets for their hang-up alone; one queue for all connections of a server."""

    def __init__(self) -> None:
        self._queue: select.epoll | None = None
        self._tell: dict[int, Callable[[], object]] = {}

    def watch(self, descriptor: int, tell: Callable[[], object]) -> None:
        """Call ``tell`` once the peer of ``descriptor`` is gone, unless ``forget`` comes first."""
        if self._queue is None:
            self._queue = select.epoll()
            asyncio.get_running_loop().add_reader(self._queue.fileno(), self._readable)
        if descriptor not in self._tell:
            # Hang-ups and errors are reported without being asked for.
            self._queue.register(descriptor, 0)
        self._tell[descriptor] = tell

    def forget(self, descriptor: int) -> None:
        """Watch ``descriptor`` no more; before it is closed."""
        if self._tell.pop(descriptor, None) and self._queue:
            with contextlib.suppress(OSError):
                self._queue.unregister(descriptor)

    def close(self) -> None:
        """Close the queue."""
        if self._queue:
            asyncio.get_running_loop().remove_reader(self._queue.fileno())
            self._queue.close()
            self._queue = None
        self._tell.clear()

    def _readable(self) -> None:
        assert self._queue
        for descriptor, _ in self._queue.poll(0):
            tell = self._tell.get(descriptor)
            self.forget(descriptor)
            if tell:
                tell()
