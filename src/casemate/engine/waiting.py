"""Wait for a container's end, or for its removal."""

from __future__ import annotations

import asyncio

from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.errors import InvalidArgument, NotFound


def waiting(engine: Engine, text: str, condition: str) -> asyncio.Future[int]:
    """Return a future that is done with the exit code of ``text`` when ``condition`` holds.

    ``not-running`` (also "") holds at once for a container without a process that does not wait
    to start again; ``next-exit`` never at once, ``removed`` when it is gone: also for the id of one
    that has vanished by itself, perhaps with the engine that was to tell of it. Raises
    InvalidArgument for a condition that is none, NotFound.
    """
    try:
        record = engine.records.find(text)
    except NotFound:
        code = engine.records.vanished(text) if condition == "removed" else None
        if code is None:
            raise
        return _known(code)
    return _of(engine, record, condition)


def _of(engine: Engine, record: Record, condition: str) -> asyncio.Future[int]:
    live = engine.live(record.id)
    if condition == "removed":
        return live.removed
    if condition not in ("", "not-running", "next-exit"):
        raise InvalidArgument(f'invalid condition: "{condition[:40]}"')
    if condition != "next-exit" and not record.up:
        return _known(record.state.exit_code)
    return live.next_exit()


def _known(code: int) -> asyncio.Future[int]:
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    done.set_result(code)
    return done
