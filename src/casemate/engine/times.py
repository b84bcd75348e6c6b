"""Times as clients write them: RFC 3339, seconds since the epoch, or how long ago."""

from __future__ import annotations

import datetime
import re

from casemate.engine.clock import now_ns
from casemate.errors import InvalidArgument

_SECONDS = re.compile(r"([0-9]{1,11})(?:\.([0-9]{0,30}))?", re.ASCII)
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_RFC3339 = re.compile(r"([^.]{16,19})\.([0-9]{1,30})(.*)", re.ASCII)
_SECOND = datetime.timedelta(seconds=1)
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def time_of(text: str) -> int:
    """Return a time in nanoseconds since the epoch; 0 for none.

    ``text`` is seconds with a fraction, RFC 3339, or a length of time before now as Go writes it
    (``1h30m``). Raises InvalidArgument. Source: moby api/types/time.
    """
    if text in ("", "0"):
        return 0
    seconds = _SECONDS.fullmatch(text)
    if seconds:
        return int(seconds[1]) * 1_000_000_000 + int(f"{seconds[2] or '':0<9}"[:9])
    ago = _length(text)
    if ago is not None:
        return max(now_ns() - ago, 1)
    match = _RFC3339.fullmatch(text)
    try:
        # The fraction by itself: a datetime has microseconds only.
        at = datetime.datetime.fromisoformat(f"{match[1]}{match[3]}" if match else text)
        if at.tzinfo is None:
            at = at.replace(tzinfo=datetime.UTC)
        since = at - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"invalid time {text[:60]!r}: seconds, RFC 3339 or a length of time like 1h30m"
        ) from None
    fraction = int(f"{match[2]:0<9}"[:9]) if match else 0
    return max(since // _SECOND * 1_000_000_000 + fraction, 1)


def _length(text: str) -> int | None:
    """Return a length of time in nanoseconds, None for what is none."""
    parts = list(_PART.finditer(text))
    if not parts or "".join(p[0] for p in parts) != text or len(text) > 60:
        return None
    return round(sum(float(p[1]) * _UNITS_NS[p[2]] for p in parts))
