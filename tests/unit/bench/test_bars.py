"""Whether a bar is met, and what is said about it."""

from __future__ import annotations

from fractions import Fraction

from bench import bars
from bench.bars import Bar
from bench.figures import Round
from bench.interleave import Turns
from bench.report import Report, markdown
from bench.result import Result
from bench.scenarios import SCENARIOS

_MACHINE = {
    "processors": 2,
    "model": "a processor",
    "kernel": "6.18",
    "file_system": "ext4",
    "cgroups": "v2",
    "python": "3.11",
    "load": (0.1, 0.1, 0.1),
    "first_attach_ms": [1.0],
}


def _result(**medians: float) -> Result:
    turns = Turns(
        {name: [Round({"create": 1.0, "total": ms}, ms, 0.0)] for name, ms in medians.items()}, {}
    )
    return Result("a title", turns, ("a note",))


def test_every_bar_names_a_scenario() -> None:
    assert {bar.scenario for bar in bars.BARS} <= set(SCENARIOS)


def test_every_bar_has_either_a_share_or_a_limit() -> None:
    assert all(bool(bar.share) != bool(bar.limit_ms) for bar in bars.BARS)


def test_a_share_is_held_against_the_peer() -> None:
    met = bars.judge({"exec": _result(casemate=20.0, dockerd=100.0)})
    missed = bars.judge({"exec": _result(casemate=20.1, dockerd=100.0)})
    assert [(v.met, v.ratio) for v in met] == [(True, 5.0)]
    assert [v.met for v in missed] == [False]


def test_without_the_peer_nobody_knows() -> None:
    (verdict,) = bars.judge({"exec": _result(casemate=20.0)})
    assert verdict.met is None
    assert verdict.bar == Bar("exec", "casemate", "total", "dockerd", Fraction(1, 5))


def test_without_our_engine_there_is_no_verdict() -> None:
    assert bars.judge({"exec": _result(dockerd=100.0)}) == []


def test_the_report_tells_who_is_missing_and_where_a_missed_bar_loses_its_time() -> None:
    report = Report(
        "2026-01-01",
        _MACHINE,
        {"dockerd": "1.0"},
        {"crun": "not installed"},
        {"exec": _result(casemate=90.0, dockerd=100.0)},
    )
    text = markdown(report)
    assert "**not measured:** crun: not installed" in text
    assert "| exec | at most 1/5 of dockerd | 90.0 | 100.0 | 1.11 | **no** |" in text
    assert "### exec: where the time goes" in text
    assert "| create | 1.00 | 1.00 |" in text
