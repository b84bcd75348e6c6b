"""What rooms made ahead cost: memory while they wait, processor time to make one."""

from __future__ import annotations

import contextlib
import time

from bench import api, engine, memory, reaper
from bench.daemon import Daemon
from bench.failure import Broken
from bench.figures import Round
from bench.images import BUSYBOX
from bench.interleave import Effort, Turns
from bench.result import Result
from bench.roster import Roster

_ROOMS = 16
_LOOK_S = 0.1
_LIMIT_S = 30


def run(roster: Roster, effort: Effort) -> Result:
    """Compare an engine that makes 16 rooms with one that makes none, doing the same."""
    title = f"rooms made ahead: {_ROOMS} of them"
    made = roster.known("casemate pool", lambda: _measured(roster))
    if made is None:
        return Result(title, Turns({}, {}))
    cpu_ms, memory_kib = made
    note = f"a room that waits has {memory_kib:.0f} KiB of memory (PSS) of its own"
    return Result(title, Turns({"one room": [Round({}, cpu_ms, 0.0)]}, {}), (note,))


def _measured(roster: Roster) -> tuple[float, float]:
    used, memory = {}, 0.0
    for size in (0, _ROOMS):
        daemon = engine.start(roster.directory, f"pool {size}", size)
        with contextlib.closing(daemon.keeper):
            api.import_root(daemon.client, roster.busybox, BUSYBOX, ['CMD ["sh"]'])
            before = daemon.keeper.cpu_ms()
            looks = _fill(daemon, size)
            used[size] = daemon.keeper.cpu_ms() - before - looks * _look_ms(daemon)
            if size:
                memory = _memory_kib(daemon) / size
            daemon.keeper.end(daemon.pid)
    return (used[_ROOMS] - used[0]) / _ROOMS, memory


def _fill(daemon: Daemon, size: int) -> int:
    """Create a container, which has the pool filled; returns how often was looked whether it is."""
    daemon.client.post("/containers/create", {"Image": BUSYBOX, "Cmd": ["true"]})
    limit = time.monotonic() + _LIMIT_S
    for looks in range(1, 1 + round(_LIMIT_S / _LOOK_S)):
        if daemon.client.get("/info")["WarmRooms"]["Ready"] == size:
            return looks
        if time.monotonic() > limit:
            break
        time.sleep(_LOOK_S)
    raise Broken(f"the pool has not {size} rooms after {_LIMIT_S} s")


def _look_ms(daemon: Daemon) -> float:
    """Return the processor time of one look."""
    before = daemon.keeper.cpu_ms()
    for _ in range(10):
        daemon.client.get("/info")
    return (daemon.keeper.cpu_ms() - before) / 10


def _memory_kib(daemon: Daemon) -> int:
    """Return the proportional set size of everything below the engine."""
    return memory.pss_kib(process.pid for process in reaper.descendants(daemon.pid))
