"""After a start: what the database says is held against what is alive, and made to agree.

Containers go on under their shims while there is no engine; their exit status is written down. What
is left of operations that a crash cut short is removed.
"""

from __future__ import annotations

import logging
import os

from casemate.engine import run
from casemate.engine.engine import Engine
from casemate.engine.live import Live
from casemate.engine.records import Record
from casemate.engine.remove import empty_trash, erase_leftover, remove
from casemate.engine.threads import in_thread
from casemate.errors import Error, NotFound
from casemate.linux.cgroups import cgroup as cgroups
from casemate.supervise.shim import Shim

_LOG = logging.getLogger("casemate.recover")


async def recover(engine: Engine) -> None:
    """Make records and reality agree. Errors of one container do not keep the others."""
    for record in engine.records.all():
        await _recover_one(engine, record)
    living = {record.id for record in engine.records.all() if record.active}
    engine.networking.recover(living)
    await in_thread(lambda: _sweep(engine))


async def _recover_one(engine: Engine, record: Record) -> None:
    live = engine.live(record.id)
    shim = _connect(engine, record)
    if shim is not None:
        await _adopt(engine, record, live, shim)
    elif record.active or record.state.cgroup:
        await _bury(engine, record, live)
    record = engine.records.get(record.id) or record
    if record.state.status == "removing" or (
        record.fixed.host.auto_remove and record.state.status in ("exited", "dead")
    ):
        try:
            await remove(engine, record)
        except Error as error:
            engine.records.change(record.id, status="dead", error=f"cannot be removed: {error}")


def _connect(engine: Engine, record: Record) -> Shim | None:
    """Connect to the container's shim, if it lives."""
    try:
        state = engine.state_directory(record.id)
    except FileNotFoundError:
        return None
    try:
        return Shim.connect(state)
    except NotFound:
        return None
    finally:
        os.close(state)


async def _adopt(engine: Engine, record: Record, live: Live, shim: Shim) -> None:
    """Follow a container that went on while there was no engine."""
    live.renew()
    live.shim = shim
    await shim.refresh()
    cgroup = engine.cgroup(record.state.cgroup)
    started = shim.first.started
    if started.done() and not started.exception():
        engine.records.change(
            record.id,
            status="paused" if cgroup.is_frozen() else "running",
            pid=started.result().pid,
            started_ns=started.result().at_ns,
            finished_ns=0,
            exit_code=0,
            error="",
        )
    engine.background(run.follow(engine, record.id, live, cgroup))


async def _bury(engine: Engine, record: Record, live: Live) -> None:
    """Write the end down of a container that ended while there was no engine."""
    cgroup = engine.cgroup(record.state.cgroup) if record.state.cgroup else None
    ending = run.recorded(engine, record.id)
    if record.active or ending:
        ending = ending or run.lost()
        await run.ended(engine, record.id, live, cgroup, ending)
        return
    # It was being started: nothing of the workload has run, or its end would be written down.
    if cgroup:
        await in_thread(cgroup.kill)
        cgroup.delete()
    engine.records.change(record.id, cgroup="", ports=())


def _sweep(engine: Engine) -> None:
    """Remove what no record owns. What cannot be removed now is told, and stays for fsck."""
    for part in (_sweep_cgroups, _sweep_files, empty_trash, _sweep_layers):
        try:
            part(engine)
        except (Error, OSError) as error:
            _LOG.warning("left over from before: %s", error)


def _sweep_cgroups(engine: Engine) -> None:
    owned = {record.state.cgroup for record in engine.records.all()}
    for path in reversed(cgroups.walk(engine.hierarchies, engine.settings.name)):
        if path not in owned and not any(o.startswith(f"{path}/") for o in owned):
            leftover = engine.cgroup(path)
            leftover.kill()
            leftover.delete()


def _sweep_files(engine: Engine) -> None:
    ids = {record.id for record in engine.records.all()}
    for snapshot in list(engine.snapshots.walk()):
        if snapshot.key not in ids:
            erase_leftover(engine, snapshot.key)
    for name in os.listdir(f"{engine.paths.root}/containers"):
        if name not in ids and not name.startswith("."):
            erase_leftover(engine, name)


def _sweep_layers(engine: Engine) -> None:
    engine.layers.clean()
