"""Times as Docker's API writes them: RFC 3339 with nanoseconds, in UTC."""

from __future__ import annotations

import time

SECOND_NS = 1_000_000_000
#: How the API writes "never".
ZERO = "0001-01-01T00:00:00Z"


def now_ns() -> int:
    """Return the time in nanoseconds since the epoch."""
    return time.time_ns()


def rfc3339(at_ns: int) -> str:
    """Return ``at_ns`` (nanoseconds since the epoch, 0 for never) in RFC 3339."""
    if not at_ns:
        return ZERO
    seconds, nanoseconds = divmod(at_ns, SECOND_NS)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    fraction = f"{nanoseconds:09}".rstrip("0")
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"
