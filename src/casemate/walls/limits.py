"""Resource limits of a container's first process.

Programs inherit limits; the engine's own are an accident of how it was started, so two are set
for every container and the others are left as the kernel gives them: a limit below what the
program needs hurts, and memory and tasks are the cgroup's business.

Source: setrlimit(2); systemd-system.conf(5) for the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from casemate.errors import InvalidArgument, PermissionDenied
from casemate.oci.runtime import Rlimit

NAMES = (
    *("AS", "CORE", "CPU", "DATA", "FSIZE", "LOCKS", "MEMLOCK", "MSGQUEUE", "NICE", "NOFILE"),
    *("NPROC", "RSS", "RTPRIO", "RTTIME", "SIGPENDING", "STACK"),
)
UNLIMITED = -1

# 1024 keeps select(2) working; a program that can handle more raises it itself.
_NOFILE_SOFT, _NOFILE_HARD = 1024, 524288


def defaults(hard: Mapping[str, int]) -> tuple[Rlimit, ...]:
    """Return the limits of a container that asks for none.

    ``hard`` are the engine's own hard limits by name (``NOFILE``), -1 for none; no default is
    above them, as raising one takes CAP_SYS_RESOURCE.
    """
    nofile = _least(_NOFILE_HARD, hard.get("NOFILE", UNLIMITED))
    return (
        Rlimit("RLIMIT_CORE", 0, hard.get("CORE", UNLIMITED)),
        Rlimit("RLIMIT_NOFILE", min(_NOFILE_SOFT, nofile), nofile),
    )


def merged(
    asked: Iterable[Rlimit], hard: Mapping[str, int], *, may_raise: bool
) -> tuple[Rlimit, ...]:
    """Return the defaults with ``asked`` put over them, by name.

    ``may_raise`` tells whether the engine has CAP_SYS_RESOURCE. Raises InvalidArgument for a
    limit that is not one, PermissionDenied for one above the engine's own.
    """
    limits = {limit.type: limit for limit in defaults(hard)}
    for limit in asked:
        _check(limit)
        own = hard.get(limit.type.removeprefix("RLIMIT_"), UNLIMITED)
        if not may_raise and _least(limit.hard, own) != limit.hard:
            raise PermissionDenied(
                f"cannot set {limit.type} to {_text(limit.hard)}: the engine's own hard limit is"
                f" {own} and it lacks CAP_SYS_RESOURCE",
                hint="ask for less, or start the engine with a higher limit",
            )
        limits[limit.type] = limit
    return tuple(limits[name] for name in sorted(limits))


def _check(limit: Rlimit) -> None:
    if limit.type.removeprefix("RLIMIT_") not in NAMES or not limit.type.startswith("RLIMIT_"):
        raise InvalidArgument(f"invalid resource limit {limit.type[:80]!r}")
    for value in (limit.soft, limit.hard):
        if not UNLIMITED <= value < 1 << 63:
            raise InvalidArgument(f"invalid {limit.type}: {value} is not a limit")
    if _least(limit.soft, limit.hard) != limit.soft:
        raise InvalidArgument(
            f"invalid {limit.type}: the soft limit {_text(limit.soft)} is above the hard limit"
            f" {_text(limit.hard)}"
        )


def _least(one: int, other: int) -> int:
    if UNLIMITED in (one, other):
        return max(one, other)
    return min(one, other)


def _text(value: int) -> str:
    return "unlimited" if value == UNLIMITED else str(value)
