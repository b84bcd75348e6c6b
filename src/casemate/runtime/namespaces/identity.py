"""Steps that turn the room into the workload: limits, user, capabilities, filter, program.

Order matters. Whatever needs privilege comes before the user changes; the filter is loaded as
late as a process without no_new_privs can load it, so that it need not allow what only the set-up
uses.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from casemate.errors import InvalidArgument
from casemate.linux import capabilities
from casemate.oci.runtime import Process, Rlimit
from casemate.runtime.steps import Step, step
from casemate.walls.landlock import Ruleset
from casemate.walls.seccomp_filter import Filter

# asm-generic/resource.h.
RESOURCES = {
    "CPU": 0,
    "FSIZE": 1,
    "DATA": 2,
    "STACK": 3,
    "CORE": 4,
    "RSS": 5,
    "NPROC": 6,
    "NOFILE": 7,
    "MEMLOCK": 8,
    "AS": 9,
    "LOCKS": 10,
    "SIGPENDING": 11,
    "MSGQUEUE": 12,
    "NICE": 13,
    "RTPRIO": 14,
    "RTTIME": 15,
}


def weighed(process: Process) -> Iterator[Step]:
    """Say how readily the kernel may choose ``process`` when memory runs out."""
    if process.oom_score_adj is not None:
        yield step("oom_score_adj", str(process.oom_score_adj))


def taken(
    process: Process, seccomp: Filter | None, landlock: Ruleset | None = None
) -> Iterator[Step]:
    """Become the user of ``process``, with its limits, capabilities, rules and filter."""
    yield step("keyring")
    yield from (_rlimit(r) for r in process.rlimits)
    user = process.user
    if user.uid or user.gid:
        yield step("stdio_owner", user.uid)
    yield step("umask", 0o022 if user.umask is None else user.umask)
    yield step("groups", struct.pack(f"<{len(user.additional_gids)}I", *user.additional_gids))
    sets = process.capabilities
    yield step("bounding", capabilities.mask(sets.bounding))
    yield step("identity", user.uid, user.gid)
    yield step("chdir", process.cwd)
    if process.no_new_privileges:
        yield step("no_new_privs")
    if landlock:
        yield from _restricted(landlock)
    if seccomp:
        yield step("seccomp", seccomp.flags, seccomp.program)
    yield step(
        "capabilities",
        capabilities.mask(sets.effective),
        capabilities.mask(sets.permitted),
        capabilities.mask(sets.inheritable),
        capabilities.mask(sets.ambient),
    )


def started(process: Process, *, init: bool) -> Iterator[Step]:
    """Become the program of ``process``, behind an init that reaps if ``init``."""
    if init:
        yield step("init")
    yield step("exec", process.args, process.env)


def _restricted(rules: Ruleset) -> Iterator[Step]:
    yield step("landlock", "rules", rules.files, rules.network, rules.scopes)
    yield from (step("landlock_allow", "rules", path, bits) for path, bits in rules.allowed)
    yield step("landlock_enter", "rules")
    yield step("close", "rules")


def _rlimit(limit: Rlimit) -> Step:
    resource = RESOURCES.get(limit.type.removeprefix("RLIMIT_"))
    if resource is None:
        raise InvalidArgument(f"unknown resource limit {limit.type!r}")
    return step("rlimit", resource, limit.soft, limit.hard)
