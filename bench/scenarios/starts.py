"""``true`` in the busybox image, from the first request to the last."""

from __future__ import annotations

import itertools

from bench import api
from bench.daemon import Daemon
from bench.floor import Floor
from bench.images import BUSYBOX
from bench.interleave import Case, Effort, interleave
from bench.podman import Podman
from bench.result import Result
from bench.roster import Roster
from bench.runtimes import Runtime

#: Options of the floor by case. The first container after a pause waits for all processors to let
#: go of its cgroups; of four in a row, the last one does not.
_FLOORS = {
    "floor": (),
    "floor, volatile": ("--volatile",),
    "floor, in a row": ("--rounds", "4"),
    "floor, in a row, volatile": ("--rounds", "4", "--volatile"),
}


def without_network(roster: Roster, effort: Effort) -> Result:
    """Without a network; beside runtimes that are called for every container."""
    return _starts(roster, effort, "none", "create, start, wait, remove; no network")


def with_bridge(roster: Roster, effort: Effort) -> Result:
    """On the default bridge."""
    return _starts(roster, effort, "bridge", "create, start, wait, remove; bridge")


def _starts(roster: Roster, effort: Effort, network: str, title: str) -> Result:
    cases = []
    ours = roster.known("casemate", lambda: roster.ours)
    daemons = (
        ours,
        roster.known("casemate cold", lambda: roster.cold),
        roster.known("dockerd", lambda: roster.dockerd),
    )
    cases += [_api(daemon, network) for daemon in daemons if daemon]
    if network == "none":
        runtimes = (
            roster.known("runc", lambda: roster.runc),
            roster.known("crun", lambda: roster.crun),
        )
        cases += [_runtime(runtime) for runtime in runtimes if runtime]
        podman = roster.known("podman", lambda: roster.podman)
        if podman:
            cases.append(_podman(podman, network))
    floor = roster.known("floor", lambda: roster.floor)
    if floor:
        cases += [_floor(floor, network, name) for name in _FLOORS]
    hits = _warm(ours)
    turns = interleave(cases, effort.rounds, effort.warmups, effort.pause_s)
    found = _warm(ours)
    note = f"casemate found a room ready {found[0] - hits[0]} times, and not {found[1] - hits[1]}"
    return Result(title, turns, (note,))


def _warm(daemon: Daemon | None) -> tuple[int, int]:
    rooms = daemon.client.get("/info")["WarmRooms"] if daemon else {"Hits": 0, "Misses": 0}
    return rooms["Hits"], rooms["Misses"]


def _api(daemon: Daemon, network: str) -> Case:
    return Case(
        daemon.name,
        lambda: api.run_true(daemon.client, BUSYBOX, network).parts,
        daemon.keeper.cpu_ms,
    )


def _runtime(runtime: Runtime) -> Case:
    numbers = itertools.count(1)
    return Case(
        runtime.name,
        lambda: {"total": runtime.run_true(next(numbers)).wall_ms},
        runtime.keeper.cpu_ms,
    )


def _podman(podman: Podman, network: str) -> Case:
    return Case(
        "podman run",
        lambda: {"total": podman.run_true(BUSYBOX, network).wall_ms},
        podman.keeper.cpu_ms,
    )


def _floor(floor: Floor, network: str, name: str) -> Case:
    used = 0.0

    def measure() -> dict[str, float]:
        nonlocal used
        found = floor.run(network, *_FLOORS[name])
        used += found.pop("cpu")
        return found

    return Case(name, measure, lambda: used)
