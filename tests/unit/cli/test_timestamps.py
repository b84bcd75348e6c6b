"""Points in time, read and shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.cli import timestamps


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=offsets
)


@given(moments)
def test_rfc3339_is_read_as_the_standard_library_reads_it(moment: datetime) -> None:
    text = moment.isoformat()
    if moment.utcoffset() and text[-3] != ":":
        return  # an offset with seconds is not of RFC 3339
    whole, nanoseconds = timestamps.parse_exact(text)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    exact = (moment - epoch) // timedelta(microseconds=1)
    assert (whole, nanoseconds) == (exact // 1_000_000, exact % 1_000_000 * 1000)


def test_nanoseconds_are_kept() -> None:
    assert timestamps.parse_exact("1970-01-01T00:00:01.123456789Z") == (1, 123456789)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86400 - 3600),
        ("1970-01-02T01", 86400),
        ("1970-01-02T01:00:05", 86405),
        ("1970-01-02 01:00:05", 86405),
        ("1970-01-02T00:00:00Z", 86400),
    ],
)
def test_without_an_offset_a_time_is_local(text: str, seconds: int) -> None:
    assert timestamps.parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "x", "2020", "2020-13-01", "2020-01-01T25", "2020-01-01T1:2:3:4", "2020-01-01T00+1"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        timestamps.parse(text)


def test_times_are_shown_as_go_shows_them() -> None:
    assert timestamps.local(86400) == "1970-01-02 01:00:00 +0100 CET"
    assert timestamps.rfc3339(86400, 5) == "1970-01-02T01:00:00.000000005+01:00"


def test_queries_take_times_spans_and_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.5)
    assert timestamps.for_query("") == ""
    assert timestamps.for_query("1m") == "940"
    assert timestamps.for_query("1970-01-01T00:00:01.5Z") == "1.500000000"
    assert timestamps.for_query("1577836800") == "1577836800"
    assert timestamps.for_query("yesterday") == "yesterday"
