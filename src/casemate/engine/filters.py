"""Filters: a name that nobody knows is refused, never ignored, and so is a value."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from casemate.errors import InvalidArgument


def refuse_unknown(names: Iterable[str], known: Collection[str]) -> None:
    """Raise InvalidArgument for the first of ``names``, sorted, that is not ``known``."""
    for name in sorted(names):
        if name not in known:
            raise InvalidArgument(f"invalid filter '{name[:40]}'")


def flag(name: str, text: str) -> bool:
    """Return what the value ``text`` of the filter ``name`` means. Raises InvalidArgument."""
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise InvalidArgument(f"invalid filter '{name}={text[:40]}'")
