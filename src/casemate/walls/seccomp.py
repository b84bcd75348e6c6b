"""Choose the system calls of a container: the default profile, one from a file, or none.

A profile is resolved against what is known of container and machine; the result is the runtime
spec's ``linux.seccomp``, which ``seccomp_filter`` turns into a BPF program.

Source: moby profiles/seccomp seccomp_linux.go for which rules apply when.
"""

from __future__ import annotations

import functools
import os
from typing import NamedTuple

from casemate.errors import InvalidArgument, from_os
from casemate.oci import runtime
from casemate.walls.seccomp_profile import (
    MAX_BYTES,
    Profile,
    Rule,
    errno_number,
    kernel_version,
    parse,
)

_DATA = os.path.join(os.path.dirname(__file__), "data")
_OWN = ("default", "strict")

# GOARCH to the names of profiles: the architecture's, and the one under "arches".
_NAMES = {
    "amd64": ("SCMP_ARCH_X86_64", "amd64"),
    "386": ("SCMP_ARCH_X86", "x86"),
    "arm64": ("SCMP_ARCH_AARCH64", "arm64"),
    "arm": ("SCMP_ARCH_ARM", "arm"),
}


class Facts(NamedTuple):
    """What the conditions of a profile are held against.

    ``capabilities`` is the container's bounding set. ``architectures`` are GOARCH names: the
    kernel's first, then that of the image where it differs.
    """

    capabilities: frozenset[str]
    architectures: tuple[str, ...]
    kernel: tuple[int, int]


@functools.cache
def own(name: str) -> Profile:
    """Return the profile ``name`` of this package: ``default`` or ``strict``."""
    return load(f"{_DATA}/seccomp-{name}.json")


def load(path: str) -> Profile:
    """Read the profile in the file ``path``. Raises InvalidArgument, NotFound or Unsupported."""
    try:
        with open(path, "rb", opener=_nonblocking) as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise from_os(error, "cannot read the seccomp profile") from error
    return parse(raw, path)


def choose(option: str | None, usual: str = "default") -> Profile | None:
    """Return the profile that ``--security-opt seccomp=option`` means, None for unconfined.

    ``option`` is None (nothing asked) or ``builtin`` for the ``usual`` one ("" for none),
    ``default``, ``strict``, ``unconfined`` or a profile's JSON text: a client sends its file's
    content, never a path. Raises as ``parse``.
    """
    name = usual or "unconfined" if option in (None, "builtin") else option
    assert name is not None
    if name in _OWN:
        return own(name)
    if name == "unconfined":
        return None
    option = name
    if option.lstrip().startswith("{"):
        return parse(option.encode("utf-8", "surrogateescape"), "in the request")
    raise InvalidArgument(
        f"invalid seccomp option {option[:80]!r}: expected default, strict, unconfined or a profile"
    )


def resolve(profile: Profile, facts: Facts) -> runtime.Seccomp:
    """Return the rules of ``profile`` that apply under ``facts``."""
    arches = frozenset(_NAMES[name][1] for name in facts.architectures if name in _NAMES)
    return runtime.Seccomp(
        default_action=profile.default_action,
        default_errno_ret=errno_number(profile.default_errno, profile.default_errno_ret),
        architectures=_architectures(profile, facts.architectures[0]),
        flags=profile.flags or (),
        syscalls=tuple(
            _resolved(rule) for rule in profile.syscalls or () if _applies(rule, facts, arches)
        ),
    )


def _resolved(rule: Rule) -> runtime.SyscallRule:
    return runtime.SyscallRule(
        names=rule.names or (rule.name,),
        action=rule.action,
        errno_ret=errno_number(rule.errno, rule.errno_ret),
        args=tuple(
            runtime.SyscallArg(arg.index, arg.value, arg.op, arg.value_two)
            for arg in rule.args or ()
        ),
    )


def _applies(rule: Rule, facts: Facts, arches: frozenset[str]) -> bool:
    if (no := rule.excludes) and (
        not arches.isdisjoint(no.arches or ())
        or not facts.capabilities.isdisjoint(no.caps or ())
        or (no.min_kernel and facts.kernel >= kernel_version(no.min_kernel))
    ):
        return False
    return not (only := rule.includes) or bool(
        (not only.arches or not arches.isdisjoint(only.arches))
        and facts.capabilities.issuperset(only.caps or ())
        and (not only.min_kernel or facts.kernel >= kernel_version(only.min_kernel))
    )


def _architectures(profile: Profile, kernel: str) -> tuple[str, ...]:
    native = _NAMES[kernel][0] if kernel in _NAMES else ""
    for entry in profile.arch_map or ():
        if entry.architecture == native:
            return (native, *(entry.sub_architectures or ()))
    return profile.architectures or ()


def _nonblocking(path: str, flags: int) -> int:
    # A FIFO given as the profile must not hang the engine; it reads as empty.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
