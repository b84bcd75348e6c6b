"""Cases take turns."""

from __future__ import annotations

from bench.failure import Broken
from bench.interleave import Case, interleave


def test_cases_take_turns_and_warmups_do_not_count() -> None:
    said: list[str] = []

    def case(name: str) -> Case:
        def measure() -> dict[str, float]:
            said.append(name)
            return {"total": 1.0}

        return Case(name, measure, lambda: 0.0, lambda: said.append(f"prepare {name}"))

    turns = interleave([case("a"), case("b")], rounds=2, warmups=1, pause_s=0)
    assert said == ["prepare a", "a", "prepare b", "b"] * 3
    assert {name: len(rounds) for name, rounds in turns.rounds.items()} == {"a": 2, "b": 2}


def test_a_case_that_fails_three_times_takes_no_further_part_and_tells_why() -> None:
    calls = 0

    def fails() -> dict[str, float]:
        nonlocal calls
        calls += 1
        raise Broken("it fell over")

    bad = Case("bad", fails, lambda: 0.0)
    good = Case("good", lambda: {"total": 1.0}, lambda: 0.0)
    turns = interleave([bad, good], rounds=5, warmups=0, pause_s=0)
    assert calls == 3
    assert turns.failures == {"bad": ["it fell over"] * 3}
    assert {name: len(rounds) for name, rounds in turns.rounds.items()} == {"good": 5}


def test_what_is_used_after_the_measurement_counts_and_what_prepares_does_not() -> None:
    used = 0.0

    def prepare() -> None:
        nonlocal used
        used += 100

    def measure() -> dict[str, float]:
        nonlocal used
        used += 2
        return {"total": 1.0}

    turns = interleave([Case("a", measure, lambda: used, prepare)], 3, 0, 0)
    assert [round_.cpu_ms for round_ in turns.rounds["a"]] == [2, 2, 2]
