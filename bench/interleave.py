"""Cases in turns: A B C A B C, with a pause after each, so that all meet the same machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bench.failure import Broken
from bench.figures import Round
from casemate.errors import Error

_TRIES = 3


class Effort(NamedTuple):
    """How much is done: rounds that count, rounds before them, and seconds between two cases.

    ``image_rounds`` are for what takes seconds.
    """

    rounds: int
    image_rounds: int
    warmups: int
    pause_s: float


class Case(NamedTuple):
    """One of those that take turns.

    ``measure`` does it once and returns milliseconds by part; ``cpu_ms`` what its processes have
    used so far; ``prepare`` comes before, unmeasured.
    """

    name: str
    measure: Callable[[], dict[str, float]]
    cpu_ms: Callable[[], float]
    prepare: Callable[[], None] = lambda: None


class Turns(NamedTuple):
    """The rounds of each case that succeeded, and why the others failed."""

    rounds: dict[str, list[Round]]
    failures: dict[str, list[str]]


def interleave(cases: Sequence[Case], rounds: int, warmups: int, pause_s: float) -> Turns:
    """Return what ``rounds`` rounds of all cases gave, after ``warmups`` that do not count.

    A case that has failed three times takes no further part.
    """
    found: dict[str, list[Round]] = {case.name: [] for case in cases}
    failures: dict[str, list[str]] = {}
    for number in range(-warmups, rounds):
        for case in cases:
            if len(failures.get(case.name, ())) == _TRIES:
                continue
            try:
                measured = _once(case, pause_s)
            except (Broken, Error) as error:
                failures.setdefault(case.name, []).append(str(error).strip())
                continue
            if number >= 0:
                found[case.name].append(measured)
    return Turns({name: kept for name, kept in found.items() if kept}, failures)


def _once(case: Case, pause_s: float) -> Round:
    case.prepare()
    load = os.getloadavg()[0]
    before = case.cpu_ms()
    parts = case.measure()
    # What a case leaves to be done (rooms made ahead, networks taken down) is part of its cost.
    time.sleep(pause_s)
    return Round(parts, case.cpu_ms() - before, load)
