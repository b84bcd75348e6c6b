"""How a container's output is logged: the driver and its options.

Source: docker container run, option --log-opt; Docker docs, JSON File logging driver.
"""

from __future__ import annotations

from typing import NamedTuple

from casemate.engine.model import LogConfig
from casemate.errors import InvalidArgument

#: What is kept when nobody says otherwise.
_BYTES, _FILES = 20 << 20, 5
#: Smaller files would be rotated at every few lines: more work than the lines themselves.
_MIN_BYTES = 1 << 10
_MAX_FILES = 1000
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class LogOptions(NamedTuple):
    """``bytes`` is the size at which a file is rotated (0: never), ``files`` how many are kept."""

    enabled: bool = True
    bytes: int = _BYTES
    files: int = _FILES


def parse(config: LogConfig) -> LogOptions:
    """Return what ``config`` asks for. Raises InvalidArgument, also for an unknown option."""
    options = dict(config.config or {})
    size, files = options.pop("max-size", ""), options.pop("max-file", "")
    driver = config.type or "json-file"
    if options or (driver == "none" and (size or files)):
        name = next(iter(options), "max-size" if size else "max-file")
        raise InvalidArgument(f"unknown log opt '{name[:40]}' for {driver} log driver")
    return LogOptions(driver != "none", _size(size), _files(files))


def _size(text: str) -> int:
    """Return ``text`` (10m, 500k, 1g, -1 for no limit) in bytes."""
    if not text:
        return _BYTES
    if text == "-1":
        return 0
    lower = text.lower().removesuffix("b")
    unit = _UNITS.get(lower[-1:], 1)
    digits = lower[:-1] if unit > 1 else lower
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 15 or not int(digits):
        raise InvalidArgument(f"invalid log option max-size={text[:40]!r}: like 10m, 500k or 1g")
    if int(digits) * unit < _MIN_BYTES:
        raise InvalidArgument(f"invalid log option max-size={text[:40]!r}: less than 1k")
    return int(digits) * unit


def _files(text: str) -> int:
    if not text:
        return _FILES
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _MAX_FILES):
        raise InvalidArgument(
            f"invalid log option max-file={text[:40]!r}: expected 1 to {_MAX_FILES}"
        )
    return int(text)
