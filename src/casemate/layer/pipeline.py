"""Work that runs beside the one who produces chunks: a thread behind a short queue."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, wait
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")

#: Chunks that may wait; with pieces of 256 KiB that is 2 MiB.
_WAITING = 8


class Stage(Generic[T]):
    """Run ``work`` over the chunks that are put in, in a thread of ``executor``.

    As a context manager: the work has ended when the block is left, by whatever way. An error of
    the work is raised by the next ``put`` or by ``result``.
    """

    def __init__(self, executor: Executor, work: Callable[[Iterator[bytes]], T]) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._ended = False
        chunks = iter(self._queue.get, None)
        try:
            self._future = executor.submit(work, chunks)
        except RuntimeError:  # no thread for it now, but it may be begun with later
            self._queue.put(None)
            raise
        # After a failure nobody else would take the chunks, and the producer would wait for ever.
        self._future.add_done_callback(lambda _: deque(chunks, maxlen=0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        wait((self._future,))

    def put(self, chunk: bytes) -> None:
        """Hand over one chunk; waits while the stage is behind."""
        if self._future.done():
            self._future.result()
        self._queue.put(chunk)

    def result(self) -> T:
        """Say that no chunk follows, and return what the work returned."""
        self._end()
        return self._future.result()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._queue.put(None)
