"""The first command after a boot: no engine runs, the image is in the store."""

from __future__ import annotations

import contextlib
import os
import select
import signal

from bench import api, daemon, engine, lab
from bench.interleave import Case, Effort, Turns, interleave
from bench.keeper import Keeper
from bench.result import Result
from bench.roster import Roster
from casemate.http.client import Client

_IMAGE = "hello"


def run(roster: Roster, effort: Effort) -> Result:
    """``casemate run --rm hello``; the engine that it starts is ended after each round."""
    made = roster.known("casemate run", lambda: _FirstRun(roster.directory))
    title = f"run --rm {_IMAGE}, no engine running"
    if made is None:
        return Result(title, Turns({}, {}))
    with contextlib.closing(made) as first:
        cases = [
            Case("casemate run", first.measure, first.keeper.cpu_ms, first.end_engine),
            Case("casemate run, again", first.measure, first.keeper.cpu_ms),
        ]
        turns = interleave(cases, effort.rounds, 1, effort.pause_s)
    return Result(title, turns)


class _FirstRun:
    """A store with the image, and an engine that comes and goes."""

    def __init__(self, directory: str) -> None:
        engine.require_command("run")
        place = f"{directory}/first"
        os.makedirs(place)
        self.keeper = Keeper(directory, "first")
        socket = f"{place}/run/casemate.sock"
        _, self._client = daemon.serve(self.keeper, engine.arguments(place, 0), socket)
        lab.remember_cgroup(directory, self._client.get("/info")["ID"])
        api.pull(self._client, _IMAGE, "latest")
        self._command = (*engine.command(directory, place), "run", "--rm", _IMAGE)

    def measure(self) -> dict[str, float]:
        """Run the command once."""
        return {"total": self.keeper.run(self._command).wall_ms}

    def end_engine(self) -> None:
        """End the engine that answers, and wait for its end."""
        if daemon.answers(self._client):
            _end(self._client)

    def close(self) -> None:
        """End everything."""
        self.end_engine()
        self.keeper.close()


def _end(client: Client) -> None:
    descriptor = os.pidfd_open(client.get("/info")["EnginePid"])
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    finally:
        os.close(descriptor)
        client.close()
