"""Points in time: the API's RFC 3339, docker's ways to show them and to ask for them."""

from __future__ import annotations

import time

from casemate.cli.units import human_span
from casemate.client.amounts import parse_duration


def parse(text: str) -> float:
    """Return an RFC 3339 time in seconds since 1970. Raises ValueError."""
    whole, nanoseconds = parse_exact(text)
    return whole + nanoseconds / 1e9


def parse_exact(text: str) -> tuple[int, int]:
    """Return an RFC 3339 time as (seconds since 1970, nanoseconds). Raises ValueError.

    Without an offset the time is a local one; the time of day, or parts of it, may be missing.
    """
    date, _, rest = text.replace(" ", "T", 1).partition("T")
    clock, offset_s = _split_offset(rest)
    clock, _, fraction = clock.partition(".")
    numbers = [*date.split("-"), *(clock.split(":") if clock else [])]
    if not 3 <= len(numbers) <= 6 or not all(n.isascii() and n.isdigit() for n in numbers):
        raise ValueError(f'"{text}" is not a time such as 2006-01-02T15:04:05Z')
    if fraction and not fraction.isdigit():
        raise ValueError(f'"{text}" is not a time such as 2006-01-02T15:04:05Z')
    year, month, day, hour, minute, second = [*map(int, numbers), *[0] * (6 - len(numbers))]
    _check_ranges(text, (month, day, hour, minute, second))
    if offset_s is None:
        seconds = int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1)))
    else:
        seconds = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset_s
    return seconds, int(fraction[:9].ljust(9, "0")) if fraction else 0


def ago(created: float) -> str:
    """Return how long ago a time was: ``2 minutes ago``."""
    return f"{human_span(time.time() - created)} ago"


def local(seconds: float) -> str:
    """Return a time as Go prints it: ``2006-01-02 15:04:05 -0700 MST``."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def rfc3339(seconds: int, nanoseconds: int | None = None) -> str:
    """Return a local time with its offset, the fraction with nine digits when it is wanted."""
    moment = time.localtime(seconds)
    offset = time.strftime("%z", moment)
    zone = "Z" if offset == "+0000" else f"{offset[:3]}:{offset[3:]}"
    fraction = "" if nanoseconds is None else f".{nanoseconds:09d}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + fraction + zone


def for_query(text: str) -> str:
    """Return what ``--since`` and ``--until`` take (a time, seconds, or how long ago) for the API.

    What cannot be read is passed on: the engine says what is wrong with it.
    """
    if not text:
        return ""
    try:
        return str(int(time.time()) - parse_duration(text) // 1_000_000_000)
    except ValueError:
        pass
    try:
        seconds, nanoseconds = parse_exact(text)
    except ValueError:
        return text
    return f"{seconds}.{nanoseconds:09d}"


def _split_offset(clock: str) -> tuple[str, int | None]:
    """Split the zone off a time of day; return its offset in seconds, None without one."""
    if clock[-1:] in ("Z", "z"):
        return clock[:-1], 0
    for sign in ("+", "-"):
        before, found, offset = clock.partition(sign)
        if found:
            hours, _, minutes = offset.partition(":")
            if len(hours) != 2 or len(minutes) != 2 or not (hours + minutes).isdigit():
                raise ValueError(f'"{offset}" is not an offset such as 02:00')
            total_s = int(hours) * 3600 + int(minutes) * 60
            return before, -total_s if sign == "-" else total_s
    return clock, None


def _check_ranges(text: str, parts: tuple[int, ...]) -> None:
    for value, low, high in zip(parts, (1, 1, 0, 0, 0), (12, 31, 23, 59, 60), strict=True):
        if not low <= value <= high:
            raise ValueError(f'"{text}": {value} is not between {low} and {high}')


def _days(year: int, month: int, day: int) -> int:
    """Return days since 1970-01-01 in the Gregorian calendar."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
