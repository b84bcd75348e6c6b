"""Pause and unpause: every process of a container stands still, or goes on."""

from __future__ import annotations

import contextlib

from casemate.engine import states
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.errors import NotFound


async def pause(engine: Engine, record: Record) -> None:
    """Freeze the container's processes; they are when this returns. Raises Conflict, Unavailable.

    Frozen first and written down then: what a crash leaves in between goes on with the next
    engine, as nobody was told that it stands still.
    """
    async with engine.live(record.id).lock:
        record = engine.current(record)
        states.allow("pause", record, engine.status(record))
        cgroup = engine.cgroup(record.state.cgroup)
        await in_thread(cgroup.freeze)
        try:
            engine.records.change(record.id, status="paused")
        except BaseException:
            await in_thread(cgroup.thaw)
            raise
    engine.events.publish("container", "pause", record.id, attributes(record))


async def unpause(engine: Engine, record: Record) -> None:
    """Let the container's processes go on. Raises Conflict."""
    async with engine.live(record.id).lock:
        record = engine.current(record)
        states.allow("unpause", record, engine.status(record))
        await let_go_on(engine, record)


async def let_go_on(engine: Engine, record: Record) -> None:
    """Thaw a paused container; the caller holds its lock."""
    with contextlib.suppress(NotFound):  # it has just ended; that is told as soon as we let go
        await in_thread(engine.cgroup(record.state.cgroup).thaw)
    engine.records.change(record.id, status="running")
    engine.events.publish("container", "unpause", record.id, attributes(record))
