"""Do something in the network namespace of another process: setns(2), network_namespaces(7)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from casemate.linux.libc import check, libc

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000


def within(process: int, work: Callable[[], T]) -> T:
    """Do ``work`` in a thread of its own, in the network namespace of ``process`` (a pidfd).

    Sockets that it opens stay in that namespace, and ``/proc/sys/net`` is that of the namespace.
    Raises OSError, and what ``work`` raises.
    """

    def entered() -> T:
        check(libc.setns(process, _CLONE_NEWNET), "setns")
        return work()

    # The thread ends with the block: nobody else is to find itself in there.
    with ThreadPoolExecutor(1, "netns") as thread:
        return thread.submit(entered).result()
