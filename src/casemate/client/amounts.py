"""Sizes, spans of time and numbers as people write them, in docker's notation."""

from __future__ import annotations

_DURATIONS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}


def parse_int(text: str, low: int = -(1 << 63), high: int = (1 << 63) - 1) -> int:
    """Read a whole number, also 0x10, 0o17, 0b1. Raises ValueError."""
    try:
        if not text.isascii() or text != text.strip():
            raise ValueError
        number = int(text, 10 if text.lstrip("+-").isdigit() else 0)
    except ValueError:
        raise ValueError(f'"{text}" is not a whole number') from None
    if not low <= number <= high:
        raise ValueError(f"{text} is not between {low} and {high}")
    return number


def parse_size(text: str) -> int:
    """Read an amount of memory in bytes: ``512m``, ``1.5g``, ``64KiB``. Raises ValueError."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    suffix = text[len(number) :].lower()
    factor = 1
    if suffix and suffix != "b":
        power = "kmgtp".find(suffix[0]) + 1
        if not power or suffix[1:] not in ("", "b", "ib"):
            raise ValueError(f"invalid suffix: '{suffix}'")
        factor = 1 << (10 * power)
    number = number.removesuffix(" ")
    try:
        if not number.isascii() or number != number.strip() or "_" in number:
            raise ValueError
        size = int(number) * factor if number.isdigit() else int(float(number) * factor)
    except (ValueError, OverflowError):
        raise ValueError(f"invalid size: '{text}'") from None
    if number.startswith("-") or size < 0 or size >= 1 << 63:
        raise ValueError(f"invalid size: '{text}'")
    return size


def parse_duration(text: str) -> int:
    """Read a span of time such as ``1m30s`` in nanoseconds. Raises ValueError."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total = 0
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµμsmh"))]
        rest = rest[len(unit) :]
        total += _amount_ns(number, unit, text)
    if not text or text in ("+", "-") or total >= 1 << 63:
        raise ValueError(f'"{text}" is not a duration such as 1m30s')
    return -total if text.startswith("-") else total


def _amount_ns(number: str, unit: str, text: str) -> int:
    whole, dot, fraction = number.partition(".")
    if unit not in _DURATIONS_NS or "." in fraction or not (whole or fraction):
        wanted = f'"{text}" is not a duration such as 1m30s'
        raise ValueError(wanted if unit else f"{wanted}: the unit is missing")
    factor = _DURATIONS_NS[unit]
    exact = int(whole or "0") * factor
    return exact + (int(fraction) * factor // 10 ** len(fraction) if dot and fraction else 0)
