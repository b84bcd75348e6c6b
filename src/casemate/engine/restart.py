"""Restart: stop and start without letting anybody in between."""

from __future__ import annotations

import asyncio

from casemate.engine import life, pausing, run, states, stop
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.live import Live
from casemate.engine.records import Record
from casemate.engine.stop import Ask


async def restart(
    engine: Engine, record: Record, *, signal: str = "", timeout_s: int | None = None
) -> None:
    """Stop the container if it runs, and start it; published ports keep their numbers.

    Raises Conflict, InvalidArgument, or what a start raises: then it stays stopped.
    """
    asked = stop.ask(record, signal, timeout_s)
    live = engine.live(record.id)
    async with live.lock:
        record = engine.current(record)
        states.allow("restart", record, engine.status(record))
        if record.active:
            await _down(engine, record, live, asked)
        live.cancel_backoff()
        await life.begin(engine, engine.current(record), live)
    engine.events.publish("container", "restart", record.id, attributes(record))


async def _down(engine: Engine, record: Record, live: Live, asked: Ask) -> None:
    """Have the run end. We have the lock, so what follows from the end is ours to do."""
    assert live.shim
    end = asyncio.ensure_future(run.ending(engine, record.id, live.shim))

    async def deliver(number: int) -> None:
        await stop.send(engine, record, number)
        current = engine.current(record)
        if current.state.status == "paused":
            await pausing.let_go_on(engine, current)

    ending = await stop.until_the_end(asked, deliver, end)
    await run.ended(engine, record.id, live, ending)
    engine.events.publish("container", "stop", record.id, attributes(record))
