"""The floor (floor.c), compiled and called as an engine would have to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from bench import lab
from bench.failure import Missing
from bench.keeper import Keeper
from bench.runtimes import default_seccomp
from casemate.linux.cgroups import layout
from casemate.linux.cgroups.hierarchies import WANTED, Hierarchies
from casemate.walls import machine, seccomp_filter

_BRIDGE = "floor0"
_ADDRESS, _GATEWAY = "10.213.0.2", "10.213.0.1"


class Floor(NamedTuple):
    """The compiled program with its arguments."""

    keeper: Keeper
    command: tuple[str, ...]

    def run(self, network: str, *options: str) -> dict[str, float]:
        """Make containers around ``true``; returns milliseconds of the last: wait, total, cpu."""
        if network == "bridge":
            options += ("--bridge", _BRIDGE, "--address", _ADDRESS, "--gateway", _GATEWAY)
        lines = self.keeper.run((*self.command, *options, "/bin/true")).output.splitlines()
        found: dict[str, float] = json.loads(lines[-1])
        return found


def start(directory: str, root: str) -> Floor:
    """Compile the program; containers are made over the directory ``root``. Raises Missing."""
    place = f"{directory}/floor"
    os.makedirs(f"{place}/root")
    program = f"{place}/floor"
    _compile(program)
    for name in ("hosts", "hostname", "resolv.conf"):
        with open(f"{place}/{name}", "x", encoding="utf-8") as file:
            file.write("127.0.0.1 localhost\n")
    built = seccomp_filter.build(default_seccomp(), machine.read().architecture)
    with open(f"{place}/seccomp", "xb") as binary:
        binary.write(built.program)
    lab.bridge(_BRIDGE, f"{_GATEWAY}/24")
    command = (
        *(program, "--lower", root, "--scratch", place, "--seccomp", f"{place}/seccomp"),
        *(word for argument in _cgroups() for word in ("--cgroup", argument)),
    )
    return Floor(Keeper(directory, "floor-output"), command)


def _compile(program: str) -> None:
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "floor.c")
    compiler = os.environ.get("CC") or shutil.which("cc")
    if not compiler:
        raise Missing("there is no C compiler to make it with")
    flags = ("-std=gnu11", "-O2", "-static", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror")
    made = subprocess.run(
        [compiler, *flags, "-o", program, source], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise Missing(f"it does not compile: {made.stderr.strip()[:500]}")


def _cgroups() -> list[str]:
    """Make the parents of the floor's cgroups, in the hierarchies that our engine uses."""
    hierarchies = Hierarchies(layout.detect())
    try:
        used = [held.hierarchy for held in hierarchies.held]
    finally:
        hierarchies.close()
    arguments = []
    for hierarchy in used:
        parent = f"{hierarchy.mount}/{lab.CGROUP}/floor"
        os.makedirs(parent, exist_ok=True)
        if hierarchy.version == 2:
            _delegate(hierarchy.mount, hierarchy.controllers)
        elif "cpuset" in hierarchy.controllers:
            _inherit_cpus(hierarchy.mount, f"{lab.CGROUP}/floor")
        arguments.append(f"{parent}:{','.join(hierarchy.selection)}")
    return arguments


def _delegate(mount: str, controllers: Sequence[str]) -> None:
    """Have the floor's cgroups of version 2 managed by what our engine uses there."""
    used = " ".join(f"+{name}" for name in controllers if name in WANTED)
    for place in ("", f"/{lab.CGROUP}", f"/{lab.CGROUP}/floor") if used else ():
        with open(f"{mount}{place}/cgroup.subtree_control", "w", encoding="ascii") as file:
            file.write(used)


def _inherit_cpus(mount: str, path: str) -> None:
    """Fill in what a cpuset needs before it takes a process, and what its children begin with."""
    parent = mount
    for name in path.split("/"):
        place = f"{parent}/{name}"
        for setting in ("cpuset.cpus", "cpuset.mems"):
            with open(f"{parent}/{setting}", encoding="ascii") as file:
                value = file.read()
            with open(f"{place}/{setting}", "w", encoding="ascii") as file:
                file.write(value)
        with open(f"{place}/cgroup.clone_children", "w", encoding="ascii") as file:
            file.write("1")
        parent = place
