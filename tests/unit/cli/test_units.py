"""Sizes and spans in docker's notation."""

from __future__ import annotations

import pytest

from casemate.cli import units


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_234_567, "1.235MB"), (10**12, "1TB")],
)
def test_sizes_are_shown_in_decimal_units(size: int, shown: str) -> None:
    assert units.human_size(size) == shown


def test_sizes_are_shown_with_as_many_digits_as_wanted() -> None:
    assert units.human_size(1_234_567, 3) == "1.23MB"
    assert units.binary_size(25_769_803_776) == "24GiB"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.4, "Less than a second"),
        (1.9, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (3600, "About an hour"),
        (5399, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_spans_are_told_in_one_unit(seconds: float, shown: str) -> None:
    assert units.human_span(seconds) == shown
