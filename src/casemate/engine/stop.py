"""Stop, kill and wait."""

from __future__ import annotations

import asyncio
import errno
from typing import Literal

from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.engine.signals import number as signal_number
from casemate.errors import Conflict, InvalidArgument
from casemate.supervise.connection import Gone

Condition = Literal["not-running", "next-exit", "removed"]
_STOP_TIMEOUT_S = 10
_KILL = 9


async def stop(
    engine: Engine, record: Record, *, signal: str = "", timeout_s: int | None = None
) -> bool:
    """Ask the container to end, and kill it after ``timeout_s`` seconds (-1: never).

    Returns False when it did not run.
    """
    if not engine.current(record).active:
        return False
    config = record.fixed.config
    number = signal_number(signal or config.stop_signal or "TERM")
    if timeout_s is None:
        timeout_s = _STOP_TIMEOUT_S if config.stop_timeout is None else config.stop_timeout
    ended = engine.live(record.id).exit
    await _send(engine, record, number)
    try:
        async with asyncio.timeout(None if timeout_s < 0 else timeout_s):
            await asyncio.shield(ended)
    except TimeoutError:
        await _send(engine, record, _KILL)
        await asyncio.shield(ended)
    engine.events.publish("container", "stop", record.id, attributes(record))
    return True


async def kill(engine: Engine, record: Record, signal: str = "") -> None:
    """Send a signal, KILL unless asked otherwise; KILL waits for the end. Raises Conflict."""
    number = signal_number(signal or "KILL")
    if not engine.current(record).active:
        raise Conflict(
            f"cannot kill container: {record.name}: container {record.id} is not running"
        )
    ended = engine.live(record.id).exit
    await _send(engine, record, number)
    detail = {**attributes(record), "signal": str(number)}
    engine.events.publish("container", "kill", record.id, detail)
    if number == _KILL:
        await asyncio.shield(ended)


async def _send(engine: Engine, record: Record, number: int) -> None:
    shim = engine.live(record.id).shim
    try:
        if shim:
            await shim.kill(0, number)
    except Gone:
        pass  # it has just ended
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


def waiting(engine: Engine, record: Record, condition: str) -> asyncio.Future[int]:
    """Return a future that is done with the exit code when ``condition`` holds.

    Raises InvalidArgument for a condition that is none.
    """
    live = engine.live(record.id)
    if condition == "removed":
        return live.removed
    if condition not in ("", "not-running", "next-exit"):
        raise InvalidArgument(f'invalid condition: "{condition[:40]}"')
    current = engine.current(record)
    if condition != "next-exit" and not current.active:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(current.state.exit_code)
        return done
    if live.exit.done() and not current.active:
        live.exit = asyncio.get_running_loop().create_future()
    return live.exit
