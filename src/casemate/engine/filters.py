"""The names of filters: one that nobody knows is refused, never ignored."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from casemate.errors import InvalidArgument


def refuse_unknown(names: Iterable[str], known: Collection[str]) -> None:
    """Raise InvalidArgument for the first of ``names``, sorted, that is not ``known``."""
    for name in sorted(names):
        if name not in known:
            raise InvalidArgument(f"invalid filter '{name[:40]}'")
