"""Labels in filters: ``NAME`` or ``NAME=VALUE``, as docker's ``--filter label=`` has them."""

from __future__ import annotations

from collections.abc import Mapping


def has(labels: Mapping[str, str] | None, text: str) -> bool:
    """Tell whether ``labels`` have what ``text`` asks for."""
    name, separator, wanted = text.partition("=")
    found = (labels or {}).get(name)
    return found is not None and (not separator or found == wanted)


def match(labels: Mapping[str, str] | None, filters: Mapping[str, list[str]]) -> bool:
    """Tell whether all of ``label`` is there and nothing of ``label!``."""
    return all(has(labels, text) for text in filters.get("label", ())) and not any(
        has(labels, text) for text in filters.get("label!", ())
    )
