"""Wait for a container's end, or for its removal."""

from __future__ import annotations

import asyncio

from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.errors import InvalidArgument


def waiting(engine: Engine, record: Record, condition: str) -> asyncio.Future[int]:
    """Return a future that is done with the exit code when ``condition`` holds.

    ``not-running`` (also "") holds at once for a container without a process that does not wait
    to start again; ``next-exit`` never at once, ``removed`` when it is gone. Raises
    InvalidArgument for a condition that is none.
    """
    live = engine.live(record.id)
    if condition == "removed":
        return live.removed
    if condition not in ("", "not-running", "next-exit"):
        raise InvalidArgument(f'invalid condition: "{condition[:40]}"')
    current = engine.current(record)
    if condition != "next-exit" and not current.up:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(current.state.exit_code)
        return done
    return live.next_exit()
