"""Tell of processes that the kernel killed for want of memory, while their container goes on.

What is not seen here, as nobody limits the container's own memory, is told at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator

from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.live import Live
from casemate.engine.records import Record
from casemate.errors import Error, NotFound
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.supervise.shim import Shim

_LOG = logging.getLogger("casemate.ooms")
#: Version 1 tells when the killer sets out; so long after that it is done.
_PAUSES_S = (0.0, 0.002, 0.01, 0.05, 0.2)


def watch(engine: Engine, id_: str, live: Live, shim: Shim) -> asyncio.Task[None] | None:
    """Begin to watch the run under ``shim``; whoever sees its end cancels this.

    None for a container whose memory nobody limits.
    """
    record = engine.records.get(id_)
    host = record.fixed.host if record else None
    if not record or not host or not (host.memory or host.cgroup_parent or record.fixed.group):
        return None
    cgroup = engine.cgroup(record.state.cgroup)
    return engine.background(_watch(engine, record, live, shim, cgroup))


async def _watch(engine: Engine, record: Record, live: Live, shim: Shim, cgroup: Cgroup) -> None:
    try:
        # What the engine before has seen is told.
        live.oom_kills = cgroup.oom_kills() if record.state.oom_killed else 0
        with _signals(engine, cgroup) as signal:
            while True:
                await signal.wait()
                signal.clear()
                if await _counted(cgroup, live) and live.shim is shim:
                    _tell(engine, record.id)
    except NotFound:
        pass  # it has ended
    except (Error, OSError) as error:
        _LOG.warning("container %s: its memory is not watched: %s", record.name, error)


@contextlib.contextmanager
def _signals(engine: Engine, cgroup: Cgroup) -> Iterator[asyncio.Event]:
    """Give an event that is set when memory may have run out."""
    descriptor = cgroup.subscribe_to_oom()
    if descriptor is None:
        with engine.watching.watched(cgroup.directory("memory")) as changed:
            yield changed
        return
    loop, signal = asyncio.get_running_loop(), asyncio.Event()

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(descriptor, 8)
        signal.set()

    loop.add_reader(descriptor, readable)
    try:
        yield signal
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _counted(cgroup: Cgroup, live: Live) -> bool:
    """Tell whether there are more kills than were told."""
    for pause_s in _PAUSES_S:
        await asyncio.sleep(pause_s)
        kills = cgroup.oom_kills()
        if kills > live.oom_kills:
            live.oom_kills = kills
            return True
    return False


def _tell(engine: Engine, id_: str) -> None:
    record = engine.records.get(id_)
    if record:
        if not record.state.oom_killed:
            engine.records.learn(id_, oom_killed=True)
        engine.events.publish("container", "oom", id_, attributes(record))
