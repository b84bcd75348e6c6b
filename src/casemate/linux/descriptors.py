"""The table of descriptors. Source: man 2 close_range, linux/close_range.h."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from casemate.linux.libc import SYS_CLOSE_RANGE, check, libc

T = TypeVar("T")

_UNSHARE = 1 << 1  # CLOSE_RANGE_UNSHARE
_LAST = 0xFFFFFFFF


def among_few(work: Callable[[], T]) -> T:
    """Return what ``work`` does in a thread that has the standard descriptors and no others.

    For libraries that use select(2), which ends the process at the 1024th. What ``work`` opens is
    its own, and closed at its end. Raises OSError.
    """

    def alone() -> T:
        check(libc.syscall(SYS_CLOSE_RANGE, 3, _LAST, _UNSHARE), "close_range")
        return work()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(alone).result()
