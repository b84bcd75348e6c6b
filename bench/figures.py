"""Rounds and what is said about many of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Round(NamedTuple):
    """One measurement: wall milliseconds by part, processor milliseconds, load average before."""

    parts: Mapping[str, float]
    cpu_ms: float
    load: float


class Summary(NamedTuple):
    """Values of a number of rounds; nine in ten are at most ``p90``."""

    rounds: int
    minimum: float
    median: float
    p90: float
    mean: float


def summary(values: Iterable[float]) -> Summary:
    """Return the summary of ``values``. Raises ValueError when there are none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("nothing was measured")
    nearest = math.ceil(0.9 * len(ordered)) - 1
    return Summary(
        len(ordered),
        ordered[0],
        statistics.median(ordered),
        ordered[nearest],
        statistics.fmean(ordered),
    )


def part(rounds: Iterable[Round], name: str) -> Summary:
    """Return the summary of one part of all rounds; ``cpu`` is the processor time."""
    if name == "cpu":
        return summary(r.cpu_ms for r in rounds)
    return summary(r.parts[name] for r in rounds)
