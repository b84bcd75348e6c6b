"""Which containers a list shows: filters, limits, order. Source: docker container ls, --filter."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping

from casemate.engine import labels, sharing
from casemate.engine.engine import Engine
from casemate.engine.filters import refuse_unknown
from casemate.engine.pattern import Pattern
from casemate.engine.records import Record
from casemate.engine.states import STATUSES
from casemate.errors import InvalidArgument, NotFound

Filters = Mapping[str, list[str]]
_Test = Callable[[Engine, Record, str], bool]


def listed(
    engine: Engine, *, everything: bool, limit: int | None, filters: Filters
) -> list[Record]:
    """Return the containers to show, the newest first. Raises InvalidArgument for a filter."""
    refuse_unknown(filters, {*_TESTS, "before", "since"})
    _check(filters)
    found = sorted(engine.records.all(), key=lambda r: r.created_ns, reverse=True)
    narrowed = bool(limit and limit > 0) or "status" in filters or "exited" in filters
    if not everything and not narrowed:
        found = [r for r in found if r.up]
    found = [r for r in _between(engine, found, filters) if _matches(engine, r, filters)]
    return found[:limit] if limit and limit > 0 else found


def _check(filters: Filters) -> None:
    """Refuse values that are none, whether there is a container to hold them against or not."""
    for value in filters.get("status", ()):
        if value not in STATUSES:
            raise InvalidArgument(f"invalid filter 'status={value[:40]}'")
    for value in filters.get("exited", ()):
        if not re.fullmatch(r"-?[0-9]{1,9}", value):
            raise InvalidArgument(f"invalid filter 'exited={value[:40]}'")
    for name in ("name", "id"):
        for value in filters.get(name, ()):
            _pattern(value)


@functools.lru_cache(256)
def _pattern(text: str) -> Pattern:
    """Return the expression that a name or an id is searched for, as Docker does."""
    try:
        return Pattern(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid filter {text[:80]!r}: {error}") from None


def _between(engine: Engine, found: list[Record], filters: Filters) -> list[Record]:
    for text in filters.get("before", ()):
        limit = engine.records.find(text).created_ns
        found = [r for r in found if r.created_ns < limit]
    for text in filters.get("since", ()):
        limit = engine.records.find(text).created_ns
        found = [r for r in found if r.created_ns > limit]
    return found


def _matches(engine: Engine, record: Record, filters: Filters) -> bool:
    for name, values in filters.items():
        test = _TESTS.get(name)
        if not test:
            continue
        # Values of one filter are alternatives, but every label must be there.
        combine = all if name == "label" else any
        if values and not combine(test(engine, record, value) for value in values):
            return False
    return True


def _label(_: Engine, record: Record, value: str) -> bool:
    return labels.has(record.fixed.config.labels, value)


def _ancestor(engine: Engine, record: Record, value: str) -> bool:
    try:
        image = engine.images.find(value)
    except (NotFound, InvalidArgument):
        return False
    return record.fixed.layers[: len(image.layers)] == image.layers and bool(image.layers)


def _exited(_: Engine, record: Record, value: str) -> bool:
    return record.state.status == "exited" and record.state.exit_code == int(value)


def _publish(_: Engine, record: Record, value: str) -> bool:
    number, _slash, protocol = value.partition("/")
    return any(
        str(p.host_port) == number and p.protocol == (protocol or "tcp") for p in record.state.ports
    )


def _expose(_: Engine, record: Record, value: str) -> bool:
    text = value if "/" in value else f"{value}/tcp"
    return text in (record.fixed.config.exposed_ports or {})


def _mounted(_: Engine, record: Record, value: str) -> bool:
    return any(value in (m.name, m.source, m.destination) for m in record.fixed.mounts)


def _network(engine: Engine, record: Record, value: str) -> bool:
    mode = sharing.network(record.fixed.host, record.fixed.config)
    try:
        return mode == value or engine.networking.find(mode).id == value
    except NotFound:
        return False


def _name(_: Engine, record: Record, value: str) -> bool:
    pattern = _pattern(value)
    return pattern.found_in(f"/{record.name}") or pattern.found_in(record.name)


_TESTS: dict[str, _Test] = {
    "ancestor": _ancestor,
    "exited": _exited,
    "expose": _expose,
    "health": lambda _e, r, v: v == (r.state.health.status if r.state.health else "none"),
    "id": lambda _e, r, v: _pattern(v).found_in(r.id),
    "is-task": lambda _e, _r, v: v.lower() in ("false", "0"),
    "label": _label,
    "name": _name,
    "network": _network,
    "publish": _publish,
    "status": lambda e, r, v: e.status(r) == v,
    "volume": _mounted,
}
