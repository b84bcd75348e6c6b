"""What is said about many rounds."""

from __future__ import annotations

import pytest
from bench.figures import Round, part, summary
from hypothesis import given
from hypothesis import strategies as st

_values = st.lists(st.floats(min_value=0, max_value=1e6), min_size=1)


@given(_values)
def test_nine_in_ten_values_are_at_most_p90(values: list[float]) -> None:
    found = summary(values)
    assert found.p90 in values
    assert sum(value <= found.p90 for value in values) >= 0.9 * len(values)


@given(_values)
def test_minimum_median_and_p90_are_in_order(values: list[float]) -> None:
    found = summary(values)
    assert found.minimum == min(values)
    assert found.minimum <= found.median
    assert found.rounds == len(values)


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        summary([])


def test_cpu_is_a_part_like_any_other() -> None:
    rounds = [Round({"total": 3.0}, 7.0, 0.5), Round({"total": 5.0}, 9.0, 0.5)]
    assert part(rounds, "total").median == 4.0
    assert part(rounds, "cpu").mean == 8.0
