"""From the runtime spec's ``linux.seccomp`` to the BPF program that the kernel loads.

Of several rules without conditions for one call the first counts, as with libseccomp. Where this
differs from libseccomp and runc, it is stricter: of the rules that match, with conditions and
without, the strictest decides; and an allowing rule with conditions on arguments does not reach
through socketcall and ipc of 32-bit x86, which hide the arguments.

Source: runtime-spec v1.2 config-linux.md seccomp; runc libcontainer/seccomp for calls newer than
the profile (ENOSYS) and for conditions that name one argument twice (alternatives).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple, cast

import msgspec

from casemate.errors import InvalidArgument, Unsupported
from casemate.linux import seccomp as linux
from casemate.linux.seccomp import Condition, Operator, Policy, Rule
from casemate.linux.seccomp_assembler import assemble
from casemate.linux.syscalls import numbers
from casemate.oci import runtime
from casemate.walls.seccomp_profile import ARCHITECTURES

_ACTIONS = {
    "SCMP_ACT_KILL": linux.KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": linux.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": linux.KILL_PROCESS,
    "SCMP_ACT_TRAP": linux.TRAP,
    "SCMP_ACT_ERRNO": linux.ERRNO,
    "SCMP_ACT_TRACE": linux.TRACE,
    "SCMP_ACT_LOG": linux.LOG,
    "SCMP_ACT_ALLOW": linux.ALLOW,
}
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": linux.FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": linux.FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": linux.FLAG_SPEC_ALLOW,
}
_EPERM = 1

# What a kernel of an architecture (GOARCH) can run, native first; others never reach the filter.
_ABIS = {
    "amd64": {
        "SCMP_ARCH_X86_64": "x86_64",
        "SCMP_ARCH_X86": "i386",
        "SCMP_ARCH_X32": "x32",
    },
    "386": {"SCMP_ARCH_X86": "i386"},
    "arm64": {"SCMP_ARCH_AARCH64": "aarch64", "SCMP_ARCH_ARM": "arm"},
    "arm": {"SCMP_ARCH_ARM": "arm"},
}

# Calls that 32-bit x86 also makes through one number, and their place there.
# Source: linux/net.h, linux/ipc.h.
_SOCKETCALL = (
    "socket bind connect listen accept getsockname getpeername socketpair send recv sendto"
    " recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"
).split()
_IPC = {
    **{"semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4},
    **{"msgsnd": 11, "msgrcv": 12, "msgget": 13, "msgctl": 14},
    **{"shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24},
}
_MULTIPLEXED: dict[str, tuple[str, Condition]] = {
    **{n: ("socketcall", Condition(0, "EQ", i)) for i, n in enumerate(_SOCKETCALL, 1)},
    # The upper half of ipc's first argument is a version.
    **{n: ("ipc", Condition(0, "MASKED_EQ", i, 0xFFFF)) for n, i in _IPC.items()},
}


class Filter(NamedTuple):
    """A program (struct sock_filter[]) and the flags for SECCOMP_SET_MODE_FILTER."""

    program: bytes
    flags: int


def cache_key(seccomp: runtime.Seccomp, architecture: str) -> str:
    """Return a key for the result of ``build``, the same for equal input in every process."""
    document = msgspec.json.encode((architecture, seccomp), order="deterministic")
    return hashlib.sha256(document).hexdigest()


def build(seccomp: runtime.Seccomp, architecture: str) -> Filter:
    """Return the filter that ``seccomp`` means to a kernel of ``architecture`` (GOARCH).

    Programs of the kernel's own architecture are always under the filter; architectures that
    the spec does not list are killed. Raises InvalidArgument for values that the runtime spec
    does not know, Unsupported for notification and for other kernels.
    """
    if architecture not in _ABIS:
        raise Unsupported(f"no seccomp tables for a kernel of architecture {architecture!r}")
    default = _verdict(seccomp.default_action, seccomp.default_errno_ret)
    try:
        program = assemble([_policy(abi, seccomp, default) for abi in _abis(seccomp, architecture)])
    except ValueError as error:
        raise InvalidArgument(f"cannot assemble the seccomp filter: {error}") from error
    return Filter(program, _flags(seccomp.flags))


def _abis(seccomp: runtime.Seccomp, architecture: str) -> list[str]:
    for name in seccomp.architectures:
        if name not in ARCHITECTURES:
            raise InvalidArgument(f"invalid seccomp architecture {name[:80]!r}")
    native = next(iter(_ABIS[architecture]))
    wanted = {native, *seccomp.architectures}
    return [abi for name, abi in _ABIS[architecture].items() if name in wanted]


def _policy(abi: str, seccomp: runtime.Seccomp, default: int) -> Policy:
    table = numbers(abi)
    rules: dict[int, list[Rule]] = {}
    settled: set[str] = set()
    for rule in seccomp.syscalls:
        verdict = _verdict(rule.action, rule.errno_ret)
        alternatives = [Rule(verdict, conditions) for conditions in _conditions(rule.args)]
        names = rule.names if rule.args else [name for name in rule.names if name not in settled]
        if not rule.args:
            settled.update(names)
        for name in names:
            number = table.get(name)
            if number is not None:
                rules.setdefault(number, []).extend(alternatives)
            if abi == "i386" and name in _MULTIPLEXED and _reaches(rule, verdict, default):
                carrier, condition = _MULTIPLEXED[name]
                rules.setdefault(table[carrier], []).append(Rule(verdict, (condition,)))
    # A filter that refuses what it does not name says ENOSYS for what it cannot know.
    refuses = linux.strictness(default) <= linux.strictness(linux.ERRNO)
    return Policy(abi, default, linux.ENOSYS if refuses else default, rules)


def _reaches(rule: runtime.SyscallRule, verdict: int, default: int) -> bool:
    return not rule.args or linux.strictness(verdict) <= linux.strictness(default)


def _conditions(args: tuple[runtime.SyscallArg, ...]) -> Iterator[tuple[Condition, ...]]:
    conditions = tuple(_condition(arg) for arg in args)
    if len({condition.argument for condition in conditions}) < len(conditions):
        yield from ((condition,) for condition in conditions)
    else:
        yield conditions


def _condition(arg: runtime.SyscallArg) -> Condition:
    op = arg.op.removeprefix("SCMP_CMP_")
    if arg.op == op or op not in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"):
        raise InvalidArgument(f"invalid seccomp operator {arg.op[:80]!r}")
    if not 0 <= arg.index < linux.MAX_ARGUMENTS:
        raise InvalidArgument(f"invalid seccomp argument index {arg.index}")
    if not (0 <= arg.value < 1 << 64 and 0 <= arg.value_two < 1 << 64):
        raise InvalidArgument("invalid seccomp argument: the value does not fit into 64 bits")
    if op == "MASKED_EQ":
        # Bits outside the mask never matter; libseccomp, too, takes them away on both sides.
        return Condition(arg.index, "MASKED_EQ", arg.value_two & arg.value, arg.value)
    return Condition(arg.index, cast(Operator, op), arg.value)


def _verdict(action: str, errno_ret: int | None) -> int:
    if action == "SCMP_ACT_NOTIFY":
        raise Unsupported("seccomp notification (SCMP_ACT_NOTIFY) is not supported")
    if action not in _ACTIONS:
        raise InvalidArgument(f"invalid seccomp action {action[:80]!r}")
    verdict = _ACTIONS[action]
    if verdict not in (linux.ERRNO, linux.TRACE):
        return verdict
    code = _EPERM if errno_ret is None else errno_ret
    if not 0 <= code <= linux.MAX_ERRNO:
        raise InvalidArgument(f"invalid seccomp errno {code}: not in 0..{linux.MAX_ERRNO}")
    return verdict | code


def _flags(names: tuple[str, ...]) -> int:
    flags = 0
    for name in names:
        if name not in _FLAGS:
            raise InvalidArgument(f"invalid seccomp flag {name[:80]!r}")
        flags |= _FLAGS[name]
    return flags
