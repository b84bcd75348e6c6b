"""Times, signals, names, log options, sizes: text that becomes a value, or an error."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.api.documents.wording import duration
from casemate.engine import logoptions, names, resources, security, signals, times
from casemate.engine.clock import now_ns, rfc3339
from casemate.engine.logoptions import LogOptions
from casemate.engine.model import HostConfig, LogConfig
from casemate.errors import InvalidArgument, Unsupported

SECOND = 1_000_000_000

# ---- times ----


@given(st.integers(1, 253_402_300_799 * SECOND))
def test_a_time_survives_being_written(at_ns: int) -> None:
    assert times.time_of(rfc3339(at_ns)) == at_ns


@given(st.integers(0, 99_999_999_999), st.integers(0, 999_999_999))
def test_seconds_with_a_fraction(seconds: int, fraction: int) -> None:
    assert times.time_of(f"{seconds}.{fraction:09}") == seconds * SECOND + fraction


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("0", 0),
        ("5", 5 * SECOND),
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-01T02:00:01+02:00", SECOND),
        ("1970-01-01T00:00:01.5+00:00", SECOND * 3 // 2),
        ("1970-01-02", 86_400 * SECOND),
        ("0001-01-01T00:00:00Z", 1),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert times.time_of(text) == expected


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("1.5m", 90)])
def test_a_length_is_so_long_ago(text: str, seconds: int) -> None:
    assert abs(now_ns() - seconds * SECOND - times.time_of(text)) < 60 * SECOND


@given(st.text(max_size=30))
def test_any_other_text_is_no_time(text: str) -> None:
    try:
        assert times.time_of(text) >= 0
    except InvalidArgument as error:
        assert "invalid time" in error.message


@given(st.floats(0, 1e10))
def test_durations_read_as_docker_writes_them(seconds: float) -> None:
    assert duration(seconds).split()[-1].rstrip("s") in (
        *("second", "minute", "hour", "day", "week", "month", "year"),
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (3540, "59 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (86400 * 3, "3 days"),
        (86400 * 20, "2 weeks"),
        (86400 * 70, "2 months"),
        (86400 * 365 * 3, "3 years"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# ---- signals ----


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("sigterm", 15),
        ("9", 9),
        ("RTMIN", signal.SIGRTMIN),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("RTMAX-1", signal.SIGRTMAX - 1),
    ],
)
def test_signals(text: str, number: int) -> None:
    assert signals.number(text) == number


@given(st.text(max_size=12))
def test_any_text_is_a_signal_of_this_kernel_or_none(text: str) -> None:
    try:
        assert 1 <= signals.number(text) <= signal.SIGRTMAX
    except InvalidArgument as error:
        assert error.message.startswith("Invalid signal")


@pytest.mark.parametrize(
    "text",
    [
        *("0", "65", "-1", "", "SIG", "RTMIN+99", "RTMAX+1", "٩", "1e1"),
        *("RTMIN+²", "RTMIN+", f"RTMIN+{'9' * 5000}"),
    ],
)
def test_what_is_no_signal(text: str) -> None:
    with pytest.raises(InvalidArgument):
        signals.number(text)


# ---- names ----


@given(st.text(max_size=300))
def test_a_name_is_checked(text: str) -> None:
    try:
        name = names.checked(text)
    except InvalidArgument:
        return
    assert name.isascii() and "/" not in name and 2 <= len(name) <= 255
    assert name[0].isalnum()


def test_made_up_names_are_names_and_new() -> None:
    taken: set[str] = set()
    for _ in range(3000):
        name = names.generated(taken.__contains__)
        assert names.checked(name) == name
        assert name not in taken
        taken.add(name)


def test_ids_are_no_numbers() -> None:
    found = {names.new_id() for _ in range(100)}
    assert len(found) == 100
    assert all(len(i) == 64 and not i[:12].isdigit() for i in found)


# ---- logs ----


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, LogOptions()),
        ({"max-size": "10k"}, LogOptions(bytes=10 << 10)),
        ({"max-size": "2MB", "max-file": "3"}, LogOptions(bytes=2 << 20, files=3)),
        ({"max-size": "1g"}, LogOptions(bytes=1 << 30)),
        ({"max-size": "1230"}, LogOptions(bytes=1230)),
        ({"max-size": "-1"}, LogOptions(bytes=0)),
    ],
)
def test_log_options(options: dict[str, str], expected: LogOptions) -> None:
    assert logoptions.parse(LogConfig("json-file", options)) == expected


@given(st.dictionaries(st.sampled_from(["max-size", "max-file", "x"]), st.text(max_size=12)))
def test_any_log_options_are_options_or_an_error(options: dict[str, str]) -> None:
    try:
        found = logoptions.parse(LogConfig("json-file", options))
    except InvalidArgument:
        return
    assert found.bytes >= 0 and 1 <= found.files <= 1000
    assert "x" not in options


# ---- limits ----


@given(
    memory=st.integers(-(1 << 63), (1 << 63) - 1),
    memory_swap=st.integers(-(1 << 63), (1 << 63) - 1),
    memory_reservation=st.integers(-(1 << 63), (1 << 63) - 1),
)
def test_any_numbers_are_limits_that_fit_together_or_an_error(
    memory: int, memory_swap: int, memory_reservation: int
) -> None:
    host = HostConfig(memory=memory, memory_swap=memory_swap, memory_reservation=memory_reservation)
    try:
        found = resources.resources(host).memory
    except InvalidArgument:
        return
    if found and found.limit:
        assert found.limit >= 6 << 20
        assert found.swap is None or found.swap < 0 or found.swap >= found.limit


def test_a_limit_of_memory_is_one_of_swap_as_well() -> None:
    found = resources.resources(HostConfig(memory=100 << 20)).memory
    assert found and found.swap == 200 << 20
    unlimited = resources.resources(HostConfig(memory=100 << 20, memory_swap=-1)).memory
    assert unlimited and unlimited.swap == -1


@given(st.lists(st.text(max_size=30), max_size=3))
def test_any_security_options_are_understood_or_an_error(options: list[str]) -> None:
    try:
        security.parse(options)
    except (InvalidArgument, Unsupported) as error:
        assert "--security-opt" in error.message
