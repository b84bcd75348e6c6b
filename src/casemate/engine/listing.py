"""Which containers a list shows: filters, limits, order. Source: docker container ls, --filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from casemate.engine.engine import Engine
from casemate.engine.networking import mode_of
from casemate.engine.records import Record
from casemate.errors import InvalidArgument, NotFound

Filters = Mapping[str, list[str]]
_Test = Callable[[Engine, Record, str], bool]


def listed(
    engine: Engine, *, everything: bool, limit: int | None, filters: Filters
) -> list[Record]:
    """Return the containers to show, the newest first. Raises InvalidArgument for a filter."""
    for name in filters:
        if name not in _TESTS and name not in ("before", "since"):
            raise InvalidArgument(f"invalid filter '{name[:40]}'")
    for value in filters.get("status", ()):
        if value not in _STATUSES:
            raise InvalidArgument(f"invalid filter 'status={value[:40]}'")
    found = sorted(engine.records.all(), key=lambda r: r.created_ns, reverse=True)
    narrowed = bool(limit and limit > 0) or "status" in filters or "exited" in filters
    if not everything and not narrowed:
        found = [r for r in found if r.active or r.state.status == "restarting"]
    found = [r for r in _between(engine, found, filters) if _matches(engine, r, filters)]
    return found[:limit] if limit and limit > 0 else found


_STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")


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
    name, separator, wanted = value.partition("=")
    labels = record.fixed.config.labels or {}
    return name in labels and (not separator or labels[name] == wanted)


def _ancestor(engine: Engine, record: Record, value: str) -> bool:
    try:
        image = engine.images.find(value)
    except (NotFound, InvalidArgument):
        return False
    return record.fixed.layers[: len(image.layers)] == image.layers and bool(image.layers)


def _exited(_: Engine, record: Record, value: str) -> bool:
    if not value.lstrip("-").isdigit():
        raise InvalidArgument(f"invalid filter 'exited={value[:40]}'")
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


def _network(_: Engine, record: Record, value: str) -> bool:
    return mode_of(record.fixed.host, record.fixed.config) == value


_TESTS: dict[str, _Test] = {
    "ancestor": _ancestor,
    "exited": _exited,
    "expose": _expose,
    "id": lambda _e, r, v: r.id.startswith(v),
    "is-task": lambda _e, _r, v: v.lower() in ("false", "0"),
    "label": _label,
    "name": lambda _e, r, v: v.removeprefix("/") in r.name,
    "network": _network,
    "publish": _publish,
    "status": lambda _e, r, v: r.state.status == v,
    "volume": _mounted,
}
