"""Values of arguments, read and refused by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from casemate.client.amounts import parse_duration, parse_size
from casemate.errors import InvalidArgument

_BILLION = 1_000_000_000
_MAX = (1 << 63) - 1


def refusal(name: str, value: object, rule: str) -> InvalidArgument:
    """Return the error for an argument that breaks ``rule``."""
    return InvalidArgument(f"invalid {name}={value!r:.200}: it must be {rule}")


def size(name: str, value: object) -> int:
    """Return an amount of memory in bytes: a number, or text such as ``256m``."""
    rule = "a size: bytes, or text such as '256m' or '1.5g'"
    if isinstance(value, str):
        try:
            return parse_size(value)
        except ValueError:
            raise refusal(name, value, rule) from None
    return _whole(name, value, rule)


def size_or_unlimited(name: str, value: object) -> int:
    """Return an amount of memory in bytes, -1 for no limit."""
    return -1 if value in (-1, "-1") and not isinstance(value, bool) else size(name, value)


def number(name: str, value: object) -> int:
    """Return a whole number that is not negative."""
    return _whole(name, value, "a whole number that is not negative")


def signed(name: str, value: object) -> int:
    """Return a whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or not -_MAX <= value <= _MAX:
        raise refusal(name, value, "a whole number")
    return value


def _whole(name: str, value: object, rule: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX:
        raise refusal(name, value, rule)
    return value


def billionths(name: str, value: object) -> int:
    """Return a number of processors in billionths: 0.5, '1.5'."""
    from fractions import Fraction

    rule = "a number of processors such as 0.5, with at most nine digits behind the point"
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise refusal(name, value, rule)
    try:
        exact = Fraction(str(value)[:40]) * _BILLION
    except (ValueError, ZeroDivisionError):
        raise refusal(name, value, rule) from None
    if exact.denominator != 1 or not 0 <= exact <= _MAX:
        raise refusal(name, value, rule)
    return int(exact)


def seconds(name: str, value: object) -> float:
    """Return a span of time in seconds: a number, or text such as ``1m30s``."""
    rule = "a span of time above zero: seconds, or text such as '1m30s'"
    if isinstance(value, str):
        try:
            value = parse_duration(value) / _BILLION
        except ValueError:
            raise refusal(name, value, rule) from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise refusal(name, value, rule)
    return float(value)


def flag(name: str, value: object) -> bool:
    """Return a switch."""
    if not isinstance(value, bool):
        raise refusal(name, value, "True or False")
    return value


def text(name: str, value: object) -> str:
    """Return a text without NUL."""
    if not isinstance(value, str) or "\0" in value:
        raise refusal(name, value, "a text")
    return value


def data(name: str, value: object) -> bytes:
    """Return bytes."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise refusal(name, value, "bytes")
    return bytes(value)


def texts(name: str, value: object) -> list[str]:
    """Return several texts; one that stands alone is a mistake, not a list of its letters."""
    rule = "a list of texts"
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise refusal(name, value, rule)
    return [text(name, item) for item in value]


def pairs(name: str, value: object) -> dict[str, str]:
    """Return texts by name."""
    if not isinstance(value, Mapping):
        raise refusal(name, value, "a mapping of texts to texts")
    return {text(name, key): text(name, item) for key, item in value.items()}


def environment(name: str, value: object) -> list[str]:
    """Return an environment as the API takes it."""
    found = pairs(name, value)
    for key in found:
        if not key or "=" in key:
            raise refusal(name, value, "a mapping whose names are not empty and have no '='")
    return [f"{key}={item}" for key, item in found.items()]


def command(name: str, value: object) -> list[str] | None:
    """Return a command's words; None stands for the image's own."""
    return None if value is None else texts(name, value)


def ulimits(name: str, value: object) -> list[dict[str, Any]]:
    """Return limits by their short names: a number, or a pair of a soft and a hard one."""
    if not isinstance(value, Mapping):
        raise refusal(name, value, "a mapping such as {'nofile': (1024, 2048)}")
    found = []
    for key, limit in value.items():
        soft, hard = limit if isinstance(limit, tuple) and len(limit) == 2 else (limit, limit)
        found.append(
            {"Name": text(name, key), "Soft": signed(name, soft), "Hard": signed(name, hard)}
        )
    return found


def ports(name: str, value: object) -> dict[str, list[dict[str, str]]]:
    """Return where ports are published: ``{80: 8080, "53/udp": ("127.0.0.1", 5353), 81: None}``.

    None lets the engine choose.
    """
    rule = "a mapping such as {80: 8080, '53/udp': ('127.0.0.1', 5353), 81: None}"
    if not isinstance(value, Mapping):
        raise refusal(name, value, rule)
    found = {}
    for inside, outside in value.items():
        port, _, protocol = str(inside).partition("/")
        address, host = (
            outside if isinstance(outside, tuple) and len(outside) == 2 else ("", outside)
        )
        chosen = "" if host is None else str(_port(name, host, rule))
        key = f"{_port(name, int(port) if port.isdecimal() else port, rule)}/{protocol or 'tcp'}"
        found[key] = [{"HostIp": text(name, address), "HostPort": chosen}]
    return found


def _port(name: str, value: object, rule: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 16:
        raise refusal(name, value, rule)
    return value
