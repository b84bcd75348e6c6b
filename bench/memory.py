"""Memory of processes: what they have for themselves, and their share of what they share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable


def pss_kib(pids: Iterable[int]) -> int:
    """Return the proportional set size of all ``pids`` together; those that ended count nothing."""
    return sum(map(_one, pids))


def _one(pid: int) -> int:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1])
    return 0


def name(pid: int) -> str:
    """Return the name of a process, empty when it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    return ""
