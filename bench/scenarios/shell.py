"""``run --rm busybox true``, as it is typed: from the start of the program to its end."""

from __future__ import annotations

from bench import engine
from bench.daemon import Daemon
from bench.images import BUSYBOX
from bench.interleave import Case, Effort, interleave
from bench.podman import Podman
from bench.result import Result
from bench.roster import Roster


def run(roster: Roster, effort: Effort) -> Result:
    """Each with its default network."""
    daemons = (
        roster.known("casemate run", lambda: _ours(roster)),
        roster.known("dockerd", lambda: roster.dockerd),
    )
    run_it, nothing = ("run", "--rm", BUSYBOX, "true"), ("--version",)
    named = zip(("casemate", "docker"), daemons, strict=True)
    cases = [
        case
        for name, daemon in named
        if daemon
        for case in (
            _case(f"{name} run", daemon, run_it),
            _case(f"{name} --version", daemon, nothing),  # what the program itself costs
        )
    ]
    podman = roster.known("podman with a bridge", lambda: _with_bridge(roster))
    if podman:
        cases.append(_podman(podman))
    turns = interleave(cases, effort.rounds, effort.warmups, effort.pause_s)
    return Result("run --rm busybox true from the shell; bridge", turns)


def _ours(roster: Roster) -> Daemon:
    engine.require_command("run")
    return roster.ours


def _with_bridge(roster: Roster) -> Podman:
    podman = roster.podman
    podman.run_true(BUSYBOX, "bridge")
    return podman


def _case(name: str, daemon: Daemon, words: tuple[str, ...]) -> Case:
    return Case(
        name,
        lambda: {"total": daemon.keeper.run((*daemon.command, *words)).wall_ms},
        daemon.keeper.cpu_ms,
    )


def _podman(podman: Podman) -> Case:
    return Case(
        "podman run",
        lambda: {"total": podman.run_true(BUSYBOX, "bridge").wall_ms},
        podman.keeper.cpu_ms,
    )
