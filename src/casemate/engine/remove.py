"""Remove a container: its processes, its writable layer, its log, its record, in this order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Mapping

from casemate.engine import labels, states
from casemate.engine import volumes as volume
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.erase import empty_trash, erase
from casemate.engine.filters import refuse_unknown
from casemate.engine.live import Live
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.engine.times import time_of
from casemate.errors import Conflict, NotFound, from_os
from casemate.supervise.connection import Gone


async def remove(
    engine: Engine, record: Record, *, force: bool = False, volumes: bool = False
) -> None:
    """Remove the container. One that runs is killed with ``force``, else it is a Conflict.

    With ``volumes`` those of its volumes go that nobody has named and nobody else mounts. With
    ``force`` it is no error when it vanishes meanwhile.
    """
    live = engine.live(record.id)
    if not force:
        states.allow("remove", record, engine.status(engine.current(record)))
    live.removals += 1  # from here on nobody starts it
    try:
        while not await _removed(engine, record, live, force=force, volumes=volumes):
            await _kill(engine, record, live)
    finally:
        live.removals -= 1


async def _removed(
    engine: Engine, record: Record, live: Live, *, force: bool, volumes: bool
) -> bool:
    """Remove the container unless it runs: that is a Conflict, or False with ``force``."""
    async with live.lock:
        if force and engine.records.get(record.id) is None:
            return True  # it was to vanish at its end, and somebody has made it end
        record = engine.current(record)
        if not force:
            states.allow("remove", record, record.state.status)
        elif record.active:
            return False
        live.cancel_backoff()
        gone = await _take_away(engine, record, volumes=volumes or record.fixed.host.auto_remove)
        code = record.state.exit_code
        live.drop_clients()
        engine.forget(record.id)
    for future in (live.exit, live.removed):
        if not future.done():
            future.set_result(code)
    engine.events.publish("container", "destroy", record.id, attributes(record))
    volume.tell(engine, "destroy", gone)
    engine.background(in_thread(lambda: empty_trash(engine)))
    return True


async def _kill(engine: Engine, record: Record, live: Live) -> None:
    ended = live.exit
    # Noted first: if this engine does not live to remove it, no policy shall start it again.
    record = engine.records.change(record.id, stopped=True)
    if live.shim:
        try:
            await live.shim.kill(0, 9)
        except (OSError, NotFound, Gone):
            pass  # it has just ended by itself
    if record.state.status == "paused":
        with contextlib.suppress(NotFound):  # in version 1 what is frozen does not die
            await in_thread(engine.cgroup(record.state.cgroup).thaw)
    await asyncio.shield(ended)


async def _take_away(engine: Engine, record: Record, *, volumes: bool) -> list[str]:
    """Take everything of the container out of sight, by one transaction and renames.

    A crash in between leaves files without a record, which the next engine removes. A loss of power
    must not leave a record without files; one that comes back to vanish may. Returns the volumes
    that have gone with it.
    """
    gone: list[str] = []

    def chosen() -> list[str]:
        gone[:] = volume.going_with(engine, record) if volumes else []
        return gone

    try:
        engine.networking.leave(record)
        with engine.volumes.dooming(chosen) as doom:
            engine.records.remove(record.id, doom)
        if not record.fixed.host.auto_remove:
            await engine.durability.settled()
        erase(engine, record.id)
        if volumes:
            volume.bury(engine)
    except OSError as error:
        raise from_os(error, f"cannot remove container {record.name}") from error
    return gone


async def prune(engine: Engine, filters: Mapping[str, list[str]]) -> tuple[list[str], int]:
    """Remove the containers that do not run; returns their ids and the bytes freed."""
    refuse_unknown(filters, ("label", "label!", "until"))
    gone, freed = [], 0
    for record in engine.records.all():
        if record.up:
            continue
        if not _matches(record, filters):
            continue
        try:
            size = await in_thread(functools.partial(engine.snapshots.usage, record.id))
            await remove(engine, record)
        except (Conflict, NotFound):
            continue  # started or removed by somebody else meanwhile
        gone.append(record.id)
        freed += size
    return gone, freed


def _matches(record: Record, filters: Mapping[str, list[str]]) -> bool:
    until = [time_of(text) for text in filters.get("until", ())]
    return labels.match(record.fixed.config.labels, filters) and all(
        record.created_ns < at for at in until
    )
