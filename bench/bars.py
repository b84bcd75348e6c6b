"""What casemate wants to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from bench import figures
from bench.result import Result


class Bar(NamedTuple):
    """``part`` of case ``ours`` in a scenario: at most ``limit_ms``, or ``share`` of ``peer``'s.

    ``peer`` is a case of the same scenario; with ``limit_ms`` it is shown for comparison only.
    """

    scenario: str
    ours: str
    part: str
    peer: str
    share: Fraction = Fraction(0)
    limit_ms: float = 0.0


BARS = (
    Bar("start", "casemate", "total", "dockerd", Fraction(1, 20)),
    Bar("start", "casemate", "total", "runc", Fraction(1, 2)),
    Bar("start", "casemate", "total", "floor, in a row", Fraction(2)),
    Bar("start", "casemate", "cpu", "dockerd", limit_ms=25),
    Bar("start-bridge", "casemate", "total", "dockerd", Fraction(1, 15)),
    Bar("start-bridge", "casemate", "total", "floor, in a row", Fraction(2)),
    Bar("start-bridge", "casemate", "cpu", "dockerd", limit_ms=25),
    Bar("shell", "casemate run", "total", "docker run", Fraction(1, 6)),
    Bar("exec", "casemate", "total", "dockerd", Fraction(1, 5)),
    Bar("pull", "casemate", "total", "dockerd", Fraction(1, 4)),
    Bar("load", "casemate", "total", "dockerd", Fraction(1, 4)),
    Bar("push", "casemate", "total", "dockerd", Fraction(1, 4)),
    Bar("first", "casemate run", "total", "", limit_ms=1000),
    *(
        Bar(crowd, "casemate", verb, "dockerd", Fraction(1, 8))
        for crowd in ("crowd", "crowd-bridge")
        for verb in ("start", "stop", "remove")
    ),
    Bar("stream", "casemate", "total", "dockerd", limit_ms=10),
    Bar("stream-bridge", "casemate", "total", "dockerd", limit_ms=10),
)


class Verdict(NamedTuple):
    """Medians in milliseconds; ``peer_ms`` None when the peer was not measured.

    ``met`` is None when that alone keeps it from being known.
    """

    bar: Bar
    ours_ms: float
    peer_ms: float | None
    met: bool | None

    @property
    def ratio(self) -> float | None:
        """How many times as long the peer takes."""
        return self.peer_ms / self.ours_ms if self.peer_ms else None


def judge(results: Mapping[str, Result]) -> list[Verdict]:
    """Return the verdict of every bar whose scenario was measured with our engine."""
    return [
        _verdict(bar, results[bar.scenario])
        for bar in BARS
        if bar.scenario in results and bar.ours in results[bar.scenario].turns.rounds
    ]


def _verdict(bar: Bar, result: Result) -> Verdict:
    rounds = result.turns.rounds
    ours = _middle(bar, rounds[bar.ours])
    peer = _middle(bar, rounds[bar.peer]) if bar.peer in rounds else None
    if bar.limit_ms:
        return Verdict(bar, ours, peer, ours <= bar.limit_ms)
    return Verdict(bar, ours, peer, None if peer is None else ours <= peer * bar.share)


def _middle(bar: Bar, rounds: list[figures.Round]) -> float:
    """Return the median; of processor time the mean, for it is counted in ticks."""
    found = figures.part(rounds, bar.part)
    return found.mean if bar.part == "cpu" else found.median
