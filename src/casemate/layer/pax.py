"""Pax extended header records: ``<length> <key>=<value>\\n``.

Source: POSIX.1-2017, pax, section "pax Extended Header".
"""

from __future__ import annotations

from collections.abc import Iterable

XATTR = b"SCHILY.xattr."

Record = tuple[bytes, bytes]


class BadRecord(ValueError):
    """A pax header breaks a rule; the text says which."""


def parse(data: bytes, limit: int) -> list[Record]:
    """Return the records of ``data`` in order. Raises BadRecord, also for more than ``limit``."""
    found: list[Record] = []
    at = 0
    while at < len(data) and data[at]:
        blank = data.find(b" ", at, at + 12)
        digits = data[at:blank] if blank > 0 else b""
        if not digits.isdigit():
            raise BadRecord("has a record without a length")
        end = at + int(digits)
        if end > len(data) or end <= blank + 1 or data[end - 1] != 0x0A:
            raise BadRecord("has a record whose length is wrong")
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if not equals or not key:
            raise BadRecord("has a record without a key")
        found.append((key, value))
        if len(found) > limit:
            raise BadRecord(f"has more than {limit} records")
        at = end
    if data[at:].strip(b"\0"):
        raise BadRecord("has bytes after its records")
    return found


def number(value: bytes, key: str) -> int:
    """Return a decimal record value, such as that of ``size``. Raises BadRecord."""
    if not value.isdigit() or len(value) > 20:
        raise BadRecord(f"has a {key} that is not a decimal number")
    return int(value)


def nanoseconds(value: bytes) -> int:
    """Return a time record, decimal seconds with sign and fraction, in ns; digits past ns are cut.

    Raises BadRecord.
    """
    sign = value[:1] in (b"-", b"+")
    seconds, _, fraction = value[sign:].partition(b".")
    if not seconds.isdigit() or len(seconds) > 18 or (fraction and not fraction.isdigit()):
        raise BadRecord("has a time that is not a decimal number")
    total = int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -total if value[:1] == b"-" else total


def render(records: Iterable[Record]) -> bytes:
    """Return the records as the content of a pax header."""
    return b"".join(_rendered(key, value) for key, value in records)


def _rendered(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + len(str(len(body)))
    if len(body) + len(str(length)) != length:
        length = len(body) + len(str(length))
    return str(length).encode() + body
