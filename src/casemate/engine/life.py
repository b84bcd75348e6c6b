"""From a start to what follows on the end: the container's removal, or another start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine

import msgspec

from casemate.engine import health, ooms, policy, run, states, systems
from casemate.engine.clock import now_ns
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.launch import launch
from casemate.engine.live import Live
from casemate.engine.records import Record, State
from casemate.engine.remove import remove
from casemate.errors import Error, NotFound
from casemate.supervise.shim import Shim

_LOG = logging.getLogger("casemate.life")


async def start(engine: Engine, record: Record) -> bool:
    """Start the container. Returns False when it runs, or is about to by itself.

    Raises Conflict, NotStarted, or what making the bundle, joining networks and binding ports
    raise.
    """
    live = engine.live(record.id)
    async with live.lock:
        record = engine.current(record)
        if not states.allow("start", record, engine.status(record)):
            return False
        await begin(engine, record, live)
    if policy.restarts(record.fixed.host.restart_policy):
        # It shall run again whenever the machine does, whatever befalls that now.
        await engine.durability.settled()
    return True


async def begin(engine: Engine, record: Record, live: Live) -> None:
    """Start the container because somebody asked for it: what was before does not count.

    The caller holds the container's lock. Raises as ``start`` does.
    """
    fresh = msgspec.structs.replace(record.state, restart_count=0, backoff_ms=0)
    await _go_on(engine, msgspec.structs.replace(record, state=fresh), live)


async def _go_on(engine: Engine, record: Record, live: Live) -> None:
    try:
        await launch(engine, record, live)
    except asyncio.CancelledError:
        raise  # the engine leaves: the next one can start it
    except BaseException:
        if record.fixed.host.auto_remove:
            engine.background(remove_by_itself(engine, record.id))
        raise
    assert live.shim
    engine.background(follow(engine, record.id, live, live.shim))
    engine.events.publish("container", "start", record.id, attributes(record))


async def follow(engine: Engine, id_: str, live: Live, shim: Shim) -> None:
    """Wait for the end of the run under ``shim`` and see to everything that follows from it."""
    watches = (ooms.watch(engine, id_, live, shim), health.watch(engine, id_, live, shim))
    ending = await run.ending(engine, id_, shim)
    for task in filter(None, watches):
        task.cancel()
    async with live.lock:
        if live.shim is shim:  # else somebody who held the lock has seen to it
            await over(engine, id_, live, ending)
    await asyncio.shield(shim.gone)
    shim.close()
    if live.leaving is shim:
        live.leaving = None


async def over(engine: Engine, id_: str, live: Live, ending: run.Ending) -> None:
    """See to the end of a run that nobody has asked to be followed by another one."""
    record = engine.records.get(id_)
    if record is None:
        return
    host = record.fixed.host
    again = None
    if not live.removals:
        again = systems.after(host, record.state, ending.code, ending.at_ns)
    if systems.shut_down(host, ending.code):
        engine.records.learn(id_, stopped=True)
    await run.ended(engine, id_, live, ending, again)
    if again:
        wait(engine, id_, live)
    elif host.auto_remove:
        engine.background(remove_by_itself(engine, id_))


def wait(engine: Engine, id_: str, live: Live) -> None:
    """Begin to wait for the time of a container's next start, which its record tells."""
    live.backoff = engine.background(_again(engine, id_, live))


def give_up(engine: Engine, record: Record, live: Live) -> None:
    """Have a container that is about to start again not do so, because somebody wants its end.

    The caller holds the container's lock.
    """
    live.cancel_backoff()
    engine.records.change(record.id, status="exited", stopped=True)
    live.exited(record.state.exit_code)


async def _again(engine: Engine, id_: str, live: Live) -> None:
    record = engine.records.get(id_)
    if record is None:
        return  # removed before we have begun
    await asyncio.sleep(policy.left_s(record.state, now_ns()))
    await engine.recovered.wait()
    async with engine.restarts, live.lock:
        record = engine.records.get(id_)
        if record is None or record.state.status != "restarting" or live.removals:
            return
        live.backoff = None  # from here on, who wants its end waits for the lock
        await _quietly(record, _go_on(engine, record, live))


async def begin_with_engine(engine: Engine, record: Record) -> None:
    """Start a container whose policy wants it to run whenever the engine does."""
    live = engine.live(record.id)
    async with engine.restarts, live.lock:
        current = engine.records.get(record.id)
        if current and _untouched(current.state, record.state) and not live.removals:
            await _quietly(current, begin(engine, current, live))


def _untouched(now: State, before: State) -> bool:
    return (now.status, now.finished_ns) == (before.status, before.finished_ns)


async def _quietly(record: Record, work: Coroutine[None, None, None]) -> None:
    """Do ``work``, a start that nobody waits for; what is wrong is told in the record."""
    try:
        await work
    except Error as error:
        _LOG.error("container %s cannot be started again: %s", record.name, error)


async def remove_by_itself(engine: Engine, id_: str) -> None:
    """Remove a container that was made with --rm."""
    record = engine.records.get(id_)
    if record is None:
        return
    try:
        await remove(engine, record, force=True)
    except NotFound:
        pass  # somebody else was faster
    except Error as error:
        engine.records.learn(id_, status="dead", error=f"cannot be removed: {error}")
