"""Which images a list shows. Source: docker image ls, --filter."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping

from casemate.engine.engine import Engine
from casemate.errors import InvalidArgument
from casemate.image.store import Image

_NAMES = frozenset({"dangling", "label", "label!", "reference", "before", "since", "until"})


def matcher(engine: Engine, filters: Mapping[str, list[str]]) -> Callable[[Image], bool]:
    """Return the test that ``filters`` ask for. Raises InvalidArgument for an unknown one."""
    unknown = sorted(set(filters) - _NAMES)
    if unknown:
        raise InvalidArgument(f"invalid filter '{unknown[0][:40]}'")
    before = [engine.images.find(text).stored_ns for text in filters.get("before", ())]
    since = [engine.images.find(text).stored_ns for text in filters.get("since", ())]
    dangling = [value.lower() in ("true", "1") for value in filters.get("dangling", ())]

    def matches(image: Image) -> bool:
        return (
            all(image.stored_ns < at for at in before)
            and all(image.stored_ns > at for at in since)
            and all((not image.tags) == wanted for wanted in dangling)
            and all(_has_label(image, text) for text in filters.get("label", ()))
            and not any(_has_label(image, text) for text in filters.get("label!", ()))
            and _is_referenced(image, filters.get("reference", ()))
        )

    return matches


def _has_label(image: Image, text: str) -> bool:
    labels = image.config.config.labels
    name, separator, value = text.partition("=")
    return name in labels and (not separator or labels[name] == value)


def _is_referenced(image: Image, patterns: list[str] | tuple[()]) -> bool:
    if not patterns:
        return True
    names = [text for n in image.tags for text in (n.familiar, n.familiar_name, str(n))]
    return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns)
