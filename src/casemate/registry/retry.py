"""Trying again: what may pass, how long to wait, when to give up."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from casemate.errors import Aborted, Error
from casemate.registry.config import RetryPolicy

T = TypeVar("T")


class Transient(Exception):
    """A failure that trying again may cure; ``error`` is raised when it does not."""

    def __init__(self, error: Error, retry_after_s: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.retry_after_s = retry_after_s


class Budget:
    """The tries that one operation has. ``stop`` ends the waiting, with Aborted."""

    def __init__(self, policy: RetryPolicy, stop: threading.Event) -> None:
        self._policy = policy
        self._stop = stop
        self.renew()

    def renew(self) -> None:
        """Begin anew, because there was progress."""
        self._failures = 0
        self._deadline = 0.0

    def spend(self, failure: Transient) -> None:
        """Wait before the next try, or raise the error of ``failure`` when there is none left."""
        check_stop(self._stop)
        if not self._failures:
            # What went well before may have taken long.
            self._deadline = time.monotonic() + self._policy.total_s
        self._failures += 1
        delay_s = self._delay_s(failure)
        too_late = time.monotonic() + delay_s > self._deadline
        if self._failures >= self._policy.attempts or too_late:
            if failure.retry_after_s is not None and failure.error.hint is None:
                failure.error.hint = f"try again in {failure.retry_after_s:.0f} s"
            raise failure.error from failure
        if self._stop.wait(delay_s):
            check_stop(self._stop)

    def _delay_s(self, failure: Transient) -> float:
        if failure.retry_after_s is not None:
            return failure.retry_after_s
        ceiling = min(self._policy.cap_s, self._policy.base_s * 2.0 ** (self._failures - 1))
        # Between half and whole, so that many clients of a restarted registry spread out.
        return ceiling * random.uniform(0.5, 1.0)


def check_stop(stop: threading.Event) -> None:
    """Raise Aborted when ``stop`` is set."""
    if stop.is_set():
        raise Aborted("the transfer was cancelled")


def persist(budget: Budget, action: Callable[[], T]) -> T:
    """Return the result of ``action``, called again after each Transient that ``budget`` allows."""
    while True:
        try:
            return action()
        except Transient as failure:
            budget.spend(failure)
