"""One short container after the other, some at a time, for a minute: does the rate hold?"""

from __future__ import annotations

import itertools
import os
import time

from bench import api, figures
from bench.daemon import Daemon
from bench.failure import Broken
from bench.figures import Round
from bench.images import BUSYBOX
from bench.interleave import Effort, Turns
from bench.result import Result
from bench.roster import Roster
from bench.several import Several, several
from casemate.http.client import Client

_AT_A_TIME = 8
#: A piece is a round of the table.
_PIECE_S, _PIECES = 10.0, 6


def without_network(roster: Roster, effort: Effort) -> Result:
    """Without a network."""
    return _stream(roster, effort, "none")


def with_bridge(roster: Roster, effort: Effort) -> Result:
    """On the default bridge."""
    return _stream(roster, effort, "bridge")


def _stream(roster: Roster, effort: Effort, network: str) -> Result:
    daemons = (
        roster.known("casemate", lambda: roster.ours),
        roster.known("dockerd", lambda: roster.dockerd),
    )
    pieces = 1 if effort.image_rounds == 1 else _PIECES
    rounds: dict[str, list[Round]] = {}
    failures: dict[str, list[str]] = {}
    notes = []
    for daemon in filter(None, daemons):
        try:
            rounds[daemon.name], note = _minute(daemon, network, pieces)
            notes.append(note)
        except Broken as error:
            failures[daemon.name] = [str(error)]
        time.sleep(effort.pause_s)
    title = f"true, {_AT_A_TIME} at a time for {pieces * _PIECE_S:.0f} s; network {network}; each"
    return Result(title, Turns(rounds, failures), tuple(notes))


def _minute(daemon: Daemon, network: str, pieces: int) -> tuple[list[Round], str]:
    """Return the pieces, with milliseconds for each container, and a sentence about them."""
    found: list[Round] = []
    totals: list[float] = []
    with several(daemon.client, _AT_A_TIME) as workers:
        for _ in range(pieces):
            cpu_ms, load, began = daemon.keeper.cpu_ms(), os.getloadavg()[0], time.perf_counter()
            latencies = _piece(workers, network)
            wall_ms = (time.perf_counter() - began) * 1e3
            used = daemon.keeper.cpu_ms() - cpu_ms
            totals += latencies
            each = len(latencies)
            found.append(Round({"total": wall_ms / each}, used / each, load))
    left = len(api.containers(daemon.client))
    if left:
        raise Broken(f"{left} containers are left")
    rate = 1e3 / figures.part(found, "total").mean
    one = figures.summary(totals)
    return found, (
        f"{daemon.name}: {len(totals)} containers, {rate:.0f} per second;"
        f" one takes {one.median:.0f} ms (median), nine in ten at most {one.p90:.0f} ms"
    )


def _piece(workers: Several, network: str) -> list[float]:
    """Run containers for a while and return the milliseconds that each one took."""
    until = time.perf_counter() + _PIECE_S

    def run(client: Client, _: int) -> list[float]:
        taken = []
        while time.perf_counter() < until:
            taken.append(api.run_true(client, BUSYBOX, network).parts["total"])
        return taken

    return list(itertools.chain.from_iterable(workers.do(run, range(_AT_A_TIME))))
