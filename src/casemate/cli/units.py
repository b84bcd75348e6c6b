"""Sizes, spans of time and switches as people write and read them, in docker's notation."""

from __future__ import annotations

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def human_size(size_bytes: float, digits: int = 4) -> str:
    """Return a size in decimal units with ``digits`` valid digits: ``2.746MB``."""
    return _scaled(size_bytes, 1000, _DECIMAL, digits)


def binary_size(size_bytes: float) -> str:
    """Return a size in binary units: ``23.4GiB``."""
    return _scaled(size_bytes, 1024, _BINARY, 4)


def human_span(seconds: float) -> str:
    """Return a span of time in one unit: ``About an hour``, ``3 weeks``."""
    whole = int(seconds)
    minutes = int(seconds / 60)
    hours = int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit_days, unit_days, unit in ((14, 1, "days"), (60, 7, "weeks"), (730, 30, "months")):
        if hours < 24 * limit_days:
            return f"{hours // 24 // unit_days} {unit}"
    return f"{int(seconds / 3600) // 24 // 365} years"


def parse_bool(text: str) -> bool:
    """Read a switch as Go's flags have it. Raises ValueError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'"{text}" is neither true nor false')


def _scaled(size: float, base: int, units: tuple[str, ...], digits: int) -> str:
    step = 0
    while size >= base and step < len(units) - 1:
        size /= base
        step += 1
    return f"{size:.{digits}g}{units[step]}"
