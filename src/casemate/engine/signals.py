"""Signals by name or number, as docker kill and --stop-signal take them."""

from __future__ import annotations

import re
import signal

from casemate.errors import InvalidArgument

_EXTRA = {"RTMIN": signal.SIGRTMIN, "RTMAX": signal.SIGRTMAX}
_OFFSET = re.compile(r"([+-][0-9]{1,2})?")


def number(text: str) -> int:
    """Return the number of the signal ``text``: TERM, SIGTERM, 15, RTMIN+3. Raises
    InvalidArgument.
    """
    if text.isascii() and text.isdigit():
        value = int(text) if len(text) < 4 else 0
        if 1 <= value <= signal.SIGRTMAX:
            return value
        raise InvalidArgument(f"Invalid signal: {text[:40]}")
    name = text.upper().removeprefix("SIG")
    for base, first in _EXTRA.items():
        offset = name.removeprefix(base)
        if offset != name and _OFFSET.fullmatch(offset):
            value = first + int(offset or "0")
            if signal.SIGRTMIN <= value <= signal.SIGRTMAX:
                return value
    try:
        return signal.Signals[f"SIG{name}"].value
    except KeyError:
        raise InvalidArgument(f"Invalid signal: {text[:40]}") from None
