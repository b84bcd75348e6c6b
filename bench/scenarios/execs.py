"""``true`` in a container that runs already, over the API."""

from __future__ import annotations

import contextlib

from bench import api
from bench.daemon import Daemon
from bench.images import BUSYBOX
from bench.interleave import Case, Effort, interleave
from bench.result import Result
from bench.roster import Roster


def run(roster: Roster, effort: Effort) -> Result:
    """Create the exec, start it, read its stream to the end."""
    daemons = (
        roster.known("casemate", lambda: roster.ours),
        roster.known("dockerd", lambda: roster.dockerd),
    )
    with contextlib.ExitStack() as ends:
        cases = [_case(daemon, ends) for daemon in daemons if daemon]
        turns = interleave(cases, effort.rounds, effort.warmups, effort.pause_s)
    return Result("exec of true: create, start, end of its stream", turns)


def _case(daemon: Daemon, ends: contextlib.ExitStack) -> Case:
    container = api.start_sleeper(daemon.client, BUSYBOX)
    ends.callback(api.remove, daemon.client, container)
    return Case(
        daemon.name,
        lambda: api.execute_true(daemon.client, container).parts,
        daemon.keeper.cpu_ms,
    )
