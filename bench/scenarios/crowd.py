"""Many idle containers: started some at a time, looked at, stopped, removed."""

from __future__ import annotations

import contextlib
import functools

from bench import api, memory
from bench.daemon import Daemon
from bench.failure import Broken
from bench.images import BUSYBOX
from bench.interleave import Case, Effort, interleave
from bench.result import Result
from bench.roster import Roster
from bench.several import several

_AT_A_TIME = 8
_CONTAINERS, _FEW = 500, 50
_SLEEPER = "sleep"


def without_network(roster: Roster, effort: Effort) -> Result:
    """Without a network."""
    return _crowd(roster, effort, "none")


def with_bridge(roster: Roster, effort: Effort) -> Result:
    """On the default bridge."""
    return _crowd(roster, effort, "bridge")


def _crowd(roster: Roster, effort: Effort, network: str) -> Result:
    count = _FEW if effort.image_rounds == 1 else _CONTAINERS
    daemons = (
        roster.known("casemate", lambda: roster.ours),
        roster.known("dockerd", lambda: roster.dockerd),
    )
    notes: list[str] = []
    cases = [_case(daemon, network, count, notes) for daemon in daemons if daemon]
    turns = interleave(cases, 1, 0, effort.pause_s)
    title = f"{count} idle containers, {_AT_A_TIME} at a time; network {network}"
    return Result(title, turns, tuple(notes))


def _case(daemon: Daemon, network: str, count: int, notes: list[str]) -> Case:
    measure = functools.partial(_measured, daemon, network, count, notes)
    return Case(daemon.name, measure, daemon.keeper.cpu_ms)


def _measured(daemon: Daemon, network: str, count: int, notes: list[str]) -> dict[str, float]:
    """Return the milliseconds for all containers together, by verb; memory goes to ``notes``."""
    api.run_true(daemon.client, BUSYBOX, network)  # what is made once is there
    before = _memory_kib(daemon)
    watch = api.Stopwatch()
    with several(daemon.client, _AT_A_TIME) as workers, contextlib.ExitStack() as ends:
        ends.callback(lambda: workers.do(api.remove, api.containers(daemon.client)))
        made = workers.do(lambda c, _: api.start_sleeper(c, BUSYBOX, network), range(count))
        watch.lap("start")
        found = len(api.containers(daemon.client, ended=False))
        watch.lap("list")
        each = (_memory_kib(daemon) - before) / count
        notes.append(f"{daemon.name}: {each:.0f} KiB (PSS) each beyond the workload")
        watch.skip()
        workers.do(api.stop, made)
        watch.lap("stop")
        workers.do(api.remove, made)
        watch.lap("remove")
    if found != count or api.containers(daemon.client):
        raise Broken(f"{found} of {count} containers ran; some may be left")
    return watch.parts


def _memory_kib(daemon: Daemon) -> int:
    """Return the memory of everything of the engine but the workloads."""
    return memory.pss_kib(p for p in daemon.keeper.living() if memory.name(p) != _SLEEPER)
