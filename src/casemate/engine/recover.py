"""After a start: what the database says is held against what is alive, and made to agree.

Containers go on under their shims while there is no engine; their exit status is written down. What
is left of operations that a crash cut short is removed.
"""

from __future__ import annotations

import logging
import os

from casemate.content import collect
from casemate.engine import claims, life, naming, parents, policy, run, update
from casemate.engine.engine import Engine
from casemate.engine.erase import empty_trash, erase
from casemate.engine.groups import places
from casemate.engine.live import Live
from casemate.engine.mend import mend
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.errors import Error, NotFound
from casemate.layer.scratch import sync_directory
from casemate.linux.cgroups import cgroup as cgroups
from casemate.supervise.connection import Gone
from casemate.supervise.shim import Shim, Started, StepFailed

_LOG = logging.getLogger("casemate.recover")


async def recover(engine: Engine) -> None:
    """Make records and reality agree. Errors of one container do not keep the others.

    Containers that shall run whenever the engine does are started when all is put right.
    """
    restarted = _machine_restarted(engine)
    if restarted:
        await in_thread(lambda: mend(engine))
    for record in engine.records.all():
        try:
            await _recover_one(engine, record, restarted=restarted)
        except (Error, OSError) as error:
            _LOG.error("container %s: %s", record.name, error)
    engine.networking.recover({live.id for live in engine.lives() if live.shim})
    await in_thread(lambda: _sweep(engine))
    await in_thread(lambda: places.recover(engine))
    wanted = [
        record
        for record in engine.records.all()
        if policy.at_engine_start(record, machine_restarted=restarted)
    ]
    await in_thread(lambda: _note_machine(engine))
    engine.background(naming.recover(engine))
    engine.recovered.set()
    for record in wanted:
        engine.background(life.begin_with_engine(engine, record))
    for record in engine.records.all():
        if record.fixed.owned and record.state.status == "created":
            engine.background(claims.expect_owner(engine, record.id))


async def _recover_one(engine: Engine, record: Record, *, restarted: bool) -> None:
    live = engine.live(record.id)
    shim = _connect(engine, record)
    if not (shim and await _adopted(engine, record, live, shim)):
        async with live.lock:
            await _bury(engine, record, live, restarted=restarted)
    record = engine.records.get(record.id) or record
    if record.state.status == "removing" or (
        record.fixed.host.auto_remove and record.state.status in ("exited", "dead")
    ):
        await life.remove_by_itself(engine, record.id)


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


async def _adopted(engine: Engine, record: Record, live: Live, shim: Shim) -> bool:
    """Follow a container that went on while there was no engine. False when it has just ended."""
    try:
        await shim.refresh()
    except Gone:
        await shim.gone
        shim.close()
        return False
    live.shim, live.cgroup = shim, record.state.cgroup
    # Held until it is known whether it runs: the engine before may have died in the middle of it.
    await live.lock.acquire()
    engine.background(_follow(engine, record, live, shim))
    return True


async def _follow(engine: Engine, record: Record, live: Live, shim: Shim) -> None:
    try:
        started = await shim.first.started
    except (Gone, StepFailed):
        await shim.gone
        shim.close()
        live.shim = None
        await _bury(engine, record, live, restarted=False)
        return
    else:
        await _take_over(engine, record, started)
    finally:
        live.lock.release()
    await life.follow(engine, record.id, live, shim)


async def _take_over(engine: Engine, record: Record, started: Started) -> None:
    """Write down what is true of a container that runs, whatever was under way."""
    cgroup = engine.cgroup(record.state.cgroup)
    frozen = cgroup.is_frozen()
    paused = record.state.status == "paused" and frozen
    if frozen and not paused:
        # By a commit or a pause, whose engine did not live to see its end.
        with run.telling(f"the processes of container {record.name}"):
            await in_thread(cgroup.thaw)
    # An engine that died in the middle of a start has not said that nobody wants its end.
    known = {} if record.active else {"stopped": False}
    engine.records.learn(
        record.id,
        status="paused" if paused else "running",
        pid=started.pid,
        started_ns=started.at_ns,
        finished_ns=0,
        exit_code=0,
        error="",
        **known,
    )
    await update.enforce(engine, record)


async def _bury(engine: Engine, record: Record, live: Live, *, restarted: bool) -> None:
    """Write the end down of a container that ended while there was no engine.

    The caller holds the container's lock.
    """
    cgroup = engine.cgroup(record.state.cgroup) if record.state.cgroup else None
    ending = run.recorded(engine, record.id)
    if ending and ending.at_ns == record.state.finished_ns:
        ending = None  # that of the run before: the next one had not begun
    if record.active or (cgroup and ending):
        ending = ending or (run.interrupted() if restarted else run.lost())
        await life.over(engine, record.id, live, ending)
        return
    if cgroup:
        # It was being started: nothing of the workload has run, or its end would be known.
        with run.telling(f"the cgroup of container {record.name}"):
            await in_thread(lambda: run.clear(cgroup))
        engine.networking.leave(record)
        engine.records.learn(record.id, cgroup="", ports=())
    if record.state.status == "restarting":
        life.wait(engine, record.id, live)


def _machine_restarted(engine: Engine) -> bool:
    """Tell whether the machine was started anew since the last engine of this root."""
    return _noted(engine) not in ("", _boot_id())


def _noted(engine: Engine) -> str:
    """Return which start of the machine the engine before has seen, "" for no engine before."""
    try:
        with open(engine.paths.boot, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def _note_machine(engine: Engine) -> None:
    """Write down under which start of the machine this engine runs, once for each, durably."""
    if _noted(engine) == _boot_id():
        return
    partial = f"{engine.paths.boot}.new"
    with open(partial, "w", encoding="ascii") as file:
        file.write(f"{_boot_id()}\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, engine.paths.boot)
    sync_directory(engine.paths.root)


def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _sweep(engine: Engine) -> None:
    """Remove what no record owns. What cannot be removed now is told, and stays for fsck."""
    for part in (_sweep_cgroups, _sweep_files, _sweep_volumes, _sweep_layers):
        try:
            part(engine)
        except (Error, OSError) as error:
            _LOG.warning("left over from before: %s", error)


def _sweep_cgroups(engine: Engine) -> None:
    owned = {record.state.cgroup for record in engine.records.all()} | engine.groups.paths
    for path in reversed(cgroups.walk(engine.hierarchies, engine.settings.name)):
        if path not in owned and not any(o.startswith(f"{path}/") for o in owned):
            with run.telling(f"cgroup {path}"):
                run.clear(engine.cgroup(path))
    for path in parents.unused(engine):
        with run.telling(f"cgroup {path}"):
            parents.remove_unused(engine, path)


def _sweep_files(engine: Engine) -> None:
    ids = {record.id for record in engine.records.all()}
    for key in engine.snapshots.keys():
        if key not in ids:
            erase(engine, key)
    for name in os.listdir(f"{engine.paths.root}/containers"):
        if name not in ids and not name.startswith("."):
            erase(engine, name)


def _sweep_volumes(engine: Engine) -> None:
    for name in engine.volumes.recover(engine.trash):
        _LOG.warning("volume %s was not written down and holds something: it is kept", name)


def _sweep_layers(engine: Engine) -> None:
    empty_trash(engine)
    engine.snapshots.clean()
    engine.layers.clean()
    collect.clean(engine.content)
    engine.stubs.clean()
