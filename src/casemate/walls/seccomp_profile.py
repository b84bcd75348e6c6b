"""Read a seccomp profile in the JSON format of Docker and Podman.

A profile lists rules under conditions: capabilities of the container, architectures, a kernel
version. A misspelt key, action, operator or architecture is an error; a call that this kernel
does not have is none, as profiles list the calls of every architecture and kernel.

Source: moby profiles/seccomp; containers/common pkg/seccomp; runtime-spec v1.2 config-linux.md.
"""

from __future__ import annotations

import errno
import re

import msgspec

from casemate.errors import InvalidArgument, Unsupported
from casemate.linux.seccomp import MAX_ARGUMENTS, MAX_ERRNO

MAX_BYTES = 1 << 20

ACTIONS = (
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
)
OPERATORS = ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
ARCHITECTURES = frozenset(
    "SCMP_ARCH_" + name
    for name in (
        "X86 X86_64 X32 ARM AARCH64 LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64"
        " MIPSEL64N32 PARISC PARISC64 PPC PPC64 PPC64LE RISCV64 S390 S390X SH SHEB"
    ).split()
)
FLAGS = (
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
)

_CALL = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_CAPABILITY = re.compile(r"CAP_[A-Z_]{1,60}")
_KERNEL = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})")


class _Strict(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    pass


class Argument(_Strict, frozen=True):
    """A condition on one argument; with MASKED_EQ ``value`` is the mask."""

    index: int
    value: int
    op: str
    value_two: int = 0


class Filter(_Strict, frozen=True):
    """When a rule applies: all of ``caps``, one of ``arches``, at least this kernel."""

    caps: tuple[str, ...] | None = None
    arches: tuple[str, ...] | None = None
    min_kernel: str = ""


class Rule(_Strict, frozen=True):
    """What happens to some calls; ``name`` and ``errno`` are the field's older spellings."""

    action: str
    names: tuple[str, ...] | None = None
    name: str = ""
    errno_ret: int | None = None
    errno: str = ""
    args: tuple[Argument, ...] | None = None
    includes: Filter | None = None
    excludes: Filter | None = None
    comment: str = ""


class Architecture(_Strict, frozen=True):
    """An architecture and those whose programs its kernel also runs."""

    architecture: str
    sub_architectures: tuple[str, ...] | None = None


class Profile(_Strict, frozen=True):
    """A checked profile document."""

    default_action: str
    default_errno_ret: int | None = None
    default_errno: str = ""
    architectures: tuple[str, ...] | None = None
    arch_map: tuple[Architecture, ...] | None = None
    flags: tuple[str, ...] | None = None
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[Rule, ...] | None = None
    comment: str = ""


_decoder = msgspec.json.Decoder(Profile)


def parse(raw: bytes, source: str) -> Profile:
    """Return the profile in ``raw``; ``source`` names it in errors. Raises InvalidArgument."""
    if len(raw) > MAX_BYTES:
        raise InvalidArgument(f"invalid seccomp profile {source}: larger than {MAX_BYTES} bytes")
    try:
        profile = _decoder.decode(raw)
        _check(profile)
    except _NotHere as error:
        raise Unsupported(f"cannot use seccomp profile {source}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Rule) as error:
        reason = str(error)
        raise InvalidArgument(
            f"invalid seccomp profile {source}: {reason[:1].lower()}{reason[1:]}"
        ) from error
    return profile


class _Rule(Exception):
    """A rule of the format that the document breaks; becomes an InvalidArgument."""


class _NotHere(_Rule):
    """A part of the format that casemate does not have; becomes an Unsupported."""


def _check(profile: Profile) -> None:
    if profile.architectures and profile.arch_map:
        raise _Rule("both architectures and archMap are given, use one of them")
    if profile.listener_path or profile.listener_metadata:
        raise _NotHere("it asks for notification (listenerPath)")
    _check_action("defaultAction", profile.default_action)
    _check_errno(
        "defaultErrno", profile.default_action, profile.default_errno, profile.default_errno_ret
    )
    known = [*(profile.architectures or ())]
    for entry in profile.arch_map or ():
        known += [entry.architecture, *(entry.sub_architectures or ())]
    for name in known:
        if name not in ARCHITECTURES:
            raise _Rule(f"{name[:80]!r} is not an architecture")
    for flag in profile.flags or ():
        if flag not in FLAGS:
            raise _Rule(f"flag {flag[:80]!r} is none of {', '.join(FLAGS)}")
    for number, rule in enumerate(profile.syscalls or ()):
        _check_rule(f"syscalls[{number}]", rule)


def _check_rule(place: str, rule: Rule) -> None:
    if rule.name and rule.names:
        raise _Rule(f"{place}: both name and names are given, use names")
    names = rule.names or ((rule.name,) if rule.name else ())
    if not names:
        raise _Rule(f"{place}: names is empty")
    for name in names:
        if not _CALL.fullmatch(name):
            raise _Rule(f"{place}: {name[:80]!r} is not the name of a system call")
    _check_action(f"{place}: action", rule.action)
    _check_errno(f"{place}: errno", rule.action, rule.errno, rule.errno_ret)
    for arg in rule.args or ():
        _check_argument(place, arg)
    for condition in (rule.includes, rule.excludes):
        _check_filter(place, condition or Filter())


def _check_argument(place: str, arg: Argument) -> None:
    if not 0 <= arg.index < MAX_ARGUMENTS:
        raise _Rule(f"{place}: argument index {arg.index} is not in 0..{MAX_ARGUMENTS - 1}")
    if arg.op.removeprefix("SCMP_CMP_") not in OPERATORS or not arg.op.startswith("SCMP_CMP_"):
        raise _Rule(f"{place}: operator {arg.op[:80]!r} is none of SCMP_CMP_{{{_OPS}}}")
    for value in (arg.value, arg.value_two):
        if not 0 <= value < 1 << 64:
            raise _Rule(f"{place}: value {value} does not fit into 64 bits")


def _check_filter(place: str, condition: Filter) -> None:
    for name in condition.caps or ():
        if not _CAPABILITY.fullmatch(name):
            raise _Rule(f"{place}: {name[:80]!r} is not a capability like CAP_SYS_ADMIN")
    if condition.min_kernel and (
        not _KERNEL.fullmatch(condition.min_kernel)
        or kernel_version(condition.min_kernel) == (0, 0)
    ):
        raise _Rule(f"{place}: minKernel {condition.min_kernel[:80]!r} is not like 4.8")


def _check_action(place: str, action: str) -> None:
    if action == "SCMP_ACT_NOTIFY":
        raise _NotHere(f"{place} asks for notification ({action})")
    if action not in ACTIONS:
        raise _Rule(f"{place} {action[:80]!r} is none of {', '.join(ACTIONS)}")


def _check_errno(place: str, action: str, name: str, number: int | None) -> None:
    if not name and number is None:
        return
    if action not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        raise _Rule(f"{place}: {action} takes no errno")
    if name and name not in _ERRNOS:
        raise _Rule(f"{place}: {name[:80]!r} is not an errno")
    if name and number is not None and number != _ERRNOS[name]:
        raise _Rule(f"{place}: {name} is {_ERRNOS[name]}, not {number}")
    if number is not None and not 0 <= number <= MAX_ERRNO:
        raise _Rule(f"{place}: {number} is not in 0..{MAX_ERRNO}")


def errno_number(name: str, number: int | None) -> int | None:
    """Return the errno that a checked profile gives by name, by number or not at all."""
    return _ERRNOS[name] if name else number


def kernel_version(text: str) -> tuple[int, int]:
    """Return the numbers of a checked ``minKernel``."""
    major, _, minor = text.partition(".")
    return int(major), int(minor)


_OPS = ",".join(OPERATORS)
_ERRNOS: dict[str, int] = {name: getattr(errno, name) for name in dir(errno) if name[0] == "E"}
