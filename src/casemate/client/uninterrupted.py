"""Work of several requests that an interrupt cannot leave half done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def made(work: Callable[[], T], undo: Callable[[T], object]) -> T:
    """Do ``work`` and return what it has made.

    An interrupt is raised when the work is done and what it has made is undone. Interrupts come
    to the main thread alone, so that another one does the work then.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    future: Future[T] = Future()
    thread = threading.Thread(target=_run, args=(work, future), name="casemate-run", daemon=True)
    try:
        thread.start()
        return future.result()
    except BaseException:
        if thread.ident is None:
            raise
        thread.join()
        if future.exception() is None:
            undo(future.result())
        raise


def _run(work: Callable[[], T], future: Future[T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
        # Who waits for the future raises it.
