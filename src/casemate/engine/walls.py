"""The walls of a running container: how each was set, by what, and what the kernel says of it."""

from __future__ import annotations

import contextlib
import os
from typing import Any, NamedTuple

from casemate.engine import states, wallrows, wallsight
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.engine.wallrows import Ground, Wall
from casemate.engine.wallsettings import Settings, settings
from casemate.engine.wallsight import Seen
from casemate.errors import Conflict, InvalidArgument, NotFound
from casemate.linux import pidfd


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

    def look() -> tuple[Wall, ...]:
        seen, ground = _read(record, subject, wanted)
        return tuple(wallrows.rows(wanted, seen, cgroup.limits(), ground))

    return {
        "Id": record.id,
        "Name": record.name,
        "Isolation": wanted.profile.name,
        "Walls": [_document(wall) for wall in await in_thread(look)],
    }


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
