"""The walls of a running container: how each was set, by what, and what the kernel says of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from casemate.engine import states, walllimits, wallrows, wallsight
from casemate.engine.engine import Engine
from casemate.engine.groups import budget
from casemate.engine.groups.records import Group
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.engine.wall import Wall
from casemate.engine.wallrows import Ground
from casemate.engine.wallsettings import Settings, settings
from casemate.engine.wallsight import Seen
from casemate.errors import Conflict, InvalidArgument, NotFound
from casemate.linux import pidfd
from casemate.linux.cgroups.cgroup import Cgroup


class _Subject(NamedTuple):
    """The container's first process; ``peers`` are those whose namespaces it shares, by kind."""

    pid: int
    init: bool
    peers: dict[str, int]


async def walls(engine: Engine, record: Record) -> dict[str, Any]:
    """Return every wall of the container. Raises Conflict for one that does not run."""
    record = engine.current(record)
    states.allow("top", record, engine.status(record))  # both look at processes
    wanted = settings(engine, record)
    subject = _Subject(_first(engine, record), bool(record.fixed.host.init), _peers(engine, wanted))
    cgroup = engine.cgroup(record.state.cgroup)
    groups = engine.groups.line(record.fixed.group) if record.fixed.group else []

    def look() -> tuple[Wall, ...]:
        seen, ground = _read(record, subject, wanted)
        rows = wallrows.rows(wanted, seen, cgroup.limits(), ground)
        return (*rows, _devices(wanted, cgroup), *_groups(engine, groups))

    return {
        "Id": record.id,
        "Name": record.name,
        "Isolation": wanted.profile.name,
        "Walls": [_document(wall) for wall in await in_thread(look)],
    }


def _devices(wanted: Settings, cgroup: Cgroup) -> Wall:
    found = cgroup.devices(wanted.limits.devices)
    host = wanted.host
    options = (("--device", host.devices), ("--device-cgroup-rule", host.device_cgroup_rules))
    words = " ".join(name for name, some in options if some)
    origin = wanted.privileged_or(words, given=bool(words) and not host.privileged)
    kernel = f"{len(found.told.split(', '))} rules" if found.holds else found.told
    return Wall("devices", found.asked, origin, kernel, found.holds)


def _groups(engine: Engine, groups: Iterable[Group]) -> Iterator[Wall]:
    for group in groups:
        cgroup = engine.cgroup(engine.groups.path(group.name))
        yield walllimits.group(group, cgroup.unheld(budget.limits(group.budget)))


def _first(engine: Engine, record: Record) -> int:
    shim = engine.live(record.id).shim
    if shim is None or shim.first.exited.done() or shim.gone.done():
        raise _ended(record)
    return shim.room_pid


def _peers(engine: Engine, wanted: Settings) -> dict[str, int]:
    """Return the first processes of the containers that are joined, of those that still run."""
    found = {}
    for kind, name in wanted.sharing.peers.items():
        with contextlib.suppress(NotFound, InvalidArgument):
            record = engine.records.find(name)
            shim = engine.live(record.id).shim
            if record.active and shim:
                found[kind] = shim.room_pid
    return found


def _read(record: Record, subject: _Subject, wanted: Settings) -> tuple[Seen, Ground]:
    """Read everything of one process: the number of one that ends may become another's."""
    try:
        held = os.pidfd_open(subject.pid)
    except ProcessLookupError:
        raise _ended(record) from None
    try:
        pid = wallsight.workload(subject.pid) if subject.init else subject.pid
        linux = wanted.spec.linux
        seen = wallsight.read(pid, (*linux.masked_paths, *linux.readonly_paths))
        ground = Ground(
            wallsight.namespaces("self"),
            {
                kind: wallsight.namespaces(peer).get(kind, "")
                for kind, peer in subject.peers.items()
            },
            wallsight.host_map(),
        )
    except (FileNotFoundError, ProcessLookupError):
        raise _ended(record) from None
    else:
        if pidfd.has_ended(held):
            raise _ended(record)
        return seen, ground
    finally:
        os.close(held)


def _ended(record: Record) -> Conflict:
    return Conflict(f"container {record.id} is not running")


def _document(wall: Wall) -> dict[str, Any]:
    return {
        "Name": wall.name,
        "Setting": wall.setting,
        "From": wall.origin,
        "Kernel": wall.kernel,
        "Holds": wall.holds,
    }
