"""Sizes, spans and numbers as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.client import amounts


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("32", 32),
        ("32b", 32),
        ("32B", 32),
        ("32k", 32 << 10),
        ("32K", 32 << 10),
        ("32kb", 32 << 10),
        ("32KiB", 32 << 10),
        ("32 kb", 32 << 10),
        ("1.5g", 3 << 29),
        ("2t", 2 << 40),
        ("1p", 1 << 50),
        ("0.1b", 0),
    ],
)
def test_sizes_are_binary_and_their_suffix_is_free(text: str, size: int) -> None:
    assert amounts.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "k", "-1", "1x", "1kbb", "1kix", "1 2", " 1", "1_0", "1..2", "inf", "9e30", "٣"]
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        amounts.parse_size(text)


@given(st.integers(0, (1 << 63) - 1))
def test_a_plain_number_is_its_own_size(number: int) -> None:
    assert amounts.parse_size(str(number)) == number


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    try:
        assert 0 <= amounts.parse_size(text) < 1 << 63
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("1ns", 1),
        ("1us", 1000),
        ("1µs", 1000),
        ("1.5ms", 1_500_000),
        (".5s", 500_000_000),
        ("1m30s", 90_000_000_000),
        ("1h0m1s", 3_601_000_000_000),
        ("-2s", -2_000_000_000),
    ],
)
def test_durations_are_gos(text: str, nanoseconds: int) -> None:
    assert amounts.parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "1", "s", "1d", "1s1", "1.2.3s", "--1s", "1 s", "1e3s", "."])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        amounts.parse_duration(text)


@pytest.mark.parametrize("text", ["", "x", "1.5", " 1", str(1 << 63)])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        amounts.parse_int(text)
