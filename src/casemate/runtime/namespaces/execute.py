"""The plan of an exec: one more process in a container that runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from casemate.oci.runtime import Process
from casemate.runtime.namespaces import identity
from casemate.runtime.namespaces.clone import CLONE_FLAGS
from casemate.runtime.plan import Plan, Stdio
from casemate.runtime.steps import Step, step
from casemate.walls.landlock import Ruleset
from casemate.walls.seccomp_filter import Filter

_DEVPTS_MAGIC = 0x1CD1  # linux/magic.h
_O_PATH = 0o10000000
_O_DIRECTORY = 0o200000
_NO_LINKS = 0x02 | 0x04 | 0x10  # linux/openat2.h: NO_MAGICLINKS, NO_SYMLINKS, IN_ROOT


class Execution(NamedTuple):
    """A process to add. ``namespaces`` are the kinds that the container does not share with the
    host.
    """

    process: Process
    namespaces: frozenset[str]
    procs: tuple[str, ...] = ()
    seccomp: Filter | None = None
    landlock: Ruleset | None = None
    stdio: Stdio = Stdio(log=False, stdin_once=True)


def plan(execution: Execution) -> Plan:
    """Return the plan; the supervisor passes the pidfd of the first process in register 0."""
    return Plan(
        outside=tuple(step("attach", path) for path in execution.procs),
        inside=tuple(_inside(execution)),
        registers=("container",),
        stdio=execution.stdio,
    )


def _inside(execution: Execution) -> Iterator[Step]:
    process = execution.process
    flags = 0
    for kind in execution.namespaces - {"pid"}:
        flags |= CLONE_FLAGS[kind]
    yield step("setns", "container", flags)
    yield from identity.weighed(process)
    if "user" in execution.namespaces:
        yield step("own_root")
    if process.terminal:
        yield from _terminal(process)
    yield from identity.taken(process, execution.seccomp, execution.landlock)
    yield from identity.started(process, init=False)


def _terminal(process: Process) -> Iterator[Step]:
    size = process.console_size
    yield step("open", "root", "/", _O_PATH | _O_DIRECTORY)
    # The container's root could have put anything there since the start.
    yield step("open_in", "pts", "root", "dev/pts", _O_DIRECTORY, _NO_LINKS)
    yield step("expect_fs", "pts", _DEVPTS_MAGIC)
    rows, columns = (size.height, size.width) if size else (0, 0)
    yield step("pty", "tty", "pts", rows, columns)
