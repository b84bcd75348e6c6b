"""What an engine has answered, as far as each moment of a recorded disk."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

#: What a subject may be: a container's exit code, NEW while it has not ended, GONE, a name.
Value = int | str
NEW, RAN, GONE, THERE = "new", "ran", "gone", "there"


class _Known(NamedTuple):
    position: int
    possible: frozenset[Value]


class Promises:
    """For each subject, what it can be after a loss of power at a position. Safe for threads."""

    def __init__(self, position: Callable[[], int]) -> None:
        self._position = position
        self._lock = threading.Lock()
        self._known: dict[str, list[_Known]] = {}
        #: Where something was promised: nothing that was flushed later was needed for it.
        self.kept_at: list[int] = []

    def expect(self, subject: str, *possible: Value) -> None:
        """Say what ``subject`` may be from now on: before it is asked for."""
        self._add(subject, frozenset(possible))

    def keep(self, subject: str, *value: Value) -> None:
        """Say what ``subject`` must be from now on: after the answer."""
        self.kept_at.append(self._add(subject, frozenset(value)))

    def _add(self, subject: str, possible: frozenset[Value]) -> int:
        with self._lock:
            position = self._position()
            self._known.setdefault(subject, []).append(_Known(position, possible))
        return position

    def at(self, position: int) -> dict[str, frozenset[Value]]:
        """Return what each subject may be when the power was lost at ``position``."""
        found = {}
        for subject, known in self._known.items():
            last = bisect_right(known, position, key=lambda one: one.position)
            if last:
                found[subject] = known[last - 1].possible
        return found
