"""Which images a list shows. Source: docker image ls, --filter; docker image prune, --filter."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from casemate.engine import labels
from casemate.engine.engine import Engine
from casemate.engine.filters import flag, refuse_unknown
from casemate.engine.times import time_of
from casemate.errors import InvalidArgument
from casemate.image.store import Image

_NAMES = frozenset({"dangling", "label", "label!", "reference", "before", "since", "until"})
_MAX_PATTERN = 1000

Matches = Callable[[Image], bool]


def matcher(engine: Engine, filters: Mapping[str, list[str]]) -> Matches:
    """Return the test that ``filters`` ask for. Raises InvalidArgument for an unknown one."""
    refuse_unknown(filters, _NAMES)
    before = [_created(engine.images.find(text)) for text in filters.get("before", ())]
    before += [time_of(text) for text in filters.get("until", ())]
    since = [_created(engine.images.find(text)) for text in filters.get("since", ())]
    dangling = [flag("dangling", value) for value in filters.get("dangling", ())]
    patterns = [_pattern(text) for text in filters.get("reference", ())]

    def matches(image: Image) -> bool:
        created = _created(image)
        return (
            all(created < at for at in before)
            and all(created > at for at in since)
            and all((not image.tags) == wanted for wanted in dangling)
            and labels.match(image.config.config.labels, filters)
            and _is_referenced(image, patterns)
        )

    return matches


def _created(image: Image) -> int:
    """Return when the image says that it was made; when it came, if it does not say."""
    try:
        return time_of(image.config.created) or image.stored_ns
    except InvalidArgument:
        return image.stored_ns


def _is_referenced(image: Image, patterns: list[re.Pattern[str]]) -> bool:
    if not patterns:
        return True
    names = [text for n in image.tags for text in (n.familiar, n.familiar_name, str(n))]
    names += [text for n in image.repo_digests for text in (n.familiar, n.familiar_name, str(n))]
    return any(pattern.fullmatch(name) for name in names for pattern in patterns)


def _pattern(text: str) -> re.Pattern[str]:
    """Return a shell pattern whose stars stop at slashes. Source: Go, path.Match.

    What follows a star is looked for as early as possible and never again: no pattern takes long.
    """
    if len(text) > _MAX_PATTERN:
        raise InvalidArgument(f"invalid reference filter: longer than {_MAX_PATTERN} characters")
    first, *others = ("".join(map(_part, _PARTS.findall(p))) for p in re.split(r"\*+", text))
    last = [f"[^/]*{others.pop()}"] if others else []
    try:
        return re.compile("".join([first, *(f"(?>[^/]*?{p})" for p in others), *last]))
    except re.error:
        raise InvalidArgument(f"invalid reference filter {text[:80]!r}") from None


_PARTS = re.compile(r"\[\^?[^\]]+\]|.", re.DOTALL)


def _part(text: str) -> str:
    if text == "?":
        return "[^/]"
    if len(text) > 1:
        inside = text[1:-1].removeprefix("^")
        chosen = "".join(c if c == "-" else re.escape(c) for c in inside)
        return f"[{'^' if text[1] == '^' else ''}{chosen}]"
    return re.escape(text)
