"""Stop and kill: the end of a container that somebody wants."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from casemate.engine import life, pausing, states
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.engine.signals import number as signal_number
from casemate.supervise.connection import Gone

T = TypeVar("T")

_TIMEOUT_S = 10
_KILL = 9
#: What a container without a stop signal of its own is asked to end with.
_ENDING = ("TERM", "INT", "QUIT")


class Ask(NamedTuple):
    """How a container is asked to end: by a signal, and by KILL ``timeout_s`` later (-1: never)."""

    signal: int
    timeout_s: int


def ask(record: Record, signal: str = "", timeout_s: int | None = None) -> Ask:
    """Return how ``record`` is asked to end, where nothing is given as it was created.

    Raises InvalidArgument for a signal that is none.
    """
    config = record.fixed.config
    number = signal_number(signal or config.stop_signal or _ENDING[0])
    if timeout_s is None:
        timeout_s = _TIMEOUT_S if config.stop_timeout is None else config.stop_timeout
    return Ask(number, timeout_s)


async def stop(
    engine: Engine, record: Record, *, signal: str = "", timeout_s: int | None = None
) -> bool:
    """Have the container end for good. Returns False when it did not run."""
    asked = ask(record, signal, timeout_s)
    if not states.allow("stop", record, engine.status(engine.current(record))):
        return False

    async def deliver(number: int) -> None:
        await _deliver(engine, record, number)

    # It may start again by its policy in between.
    while (current := engine.records.get(record.id)) and current.up:
        if current.active:
            await until_the_end(asked, deliver, engine.live(record.id).exit)
        else:
            await _give_up(engine, record)
    engine.events.publish("container", "stop", record.id, attributes(current or record))
    return True


async def kill(engine: Engine, record: Record, signal: str = "") -> None:
    """Send a signal, KILL unless asked otherwise; KILL waits for the end. Raises Conflict."""
    number = signal_number(signal or "KILL")
    current = engine.current(record)
    states.allow("kill", current, engine.status(current))
    if current.state.status == "restarting":
        await _give_up(engine, record)
        return
    ended = engine.live(record.id).exit
    await _deliver(engine, record, number)
    if number == _KILL:
        await asyncio.shield(ended)


async def until_the_end(
    asked: Ask, deliver: Callable[[int], Awaitable[None]], ended: asyncio.Future[T]
) -> T:
    """Send what is ``asked`` by ``deliver``, and KILL when it has not ``ended`` in time."""
    await deliver(asked.signal)
    try:
        async with asyncio.timeout(None if asked.timeout_s < 0 else asked.timeout_s):
            return await asyncio.shield(ended)
    except TimeoutError:
        await deliver(_KILL)
        return await asyncio.shield(ended)


async def send(engine: Engine, record: Record, number: int) -> None:
    """Send a signal to the container's first process; one that has just ended needs none."""
    shim = engine.live(record.id).shim
    try:
        if shim:
            await shim.kill(0, number)
    except Gone:
        pass
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise
    detail = {**attributes(record), "signal": str(number)}
    engine.events.publish("container", "kill", record.id, detail)


async def _deliver(engine: Engine, record: Record, number: int) -> None:
    """Send a signal; one that means the end is noted before, and reaches a paused container."""
    if not _means_the_end(record, number):
        await send(engine, record, number)
        return
    if engine.records.get(record.id) is None:
        return  # it has ended and vanished
    engine.records.change(record.id, stopped=True)
    await send(engine, record, number)
    live = engine.live(record.id)
    async with live.lock:
        current = engine.records.get(record.id)
        if current and current.state.status == "paused":
            await pausing.let_go_on(engine, current)


def _means_the_end(record: Record, number: int) -> bool:
    own = record.fixed.config.stop_signal
    return number in (_KILL, *map(signal_number, (own,) if own else _ENDING))


async def _give_up(engine: Engine, record: Record) -> None:
    live = engine.live(record.id)
    async with live.lock:
        current = engine.records.get(record.id)
        if current and current.state.status == "restarting":
            life.give_up(engine, current, live)
