"""Which capabilities a container gets: the default set, and ``--cap-add`` and ``--cap-drop``.

The rules are Docker's, but for one: a capability that cannot be had may be dropped. Inheritable
and ambient sets stay empty (CVE-2022-24769).

Source: moby daemon/pkg/oci/caps; Podman's default set.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from casemate.errors import InvalidArgument
from casemate.linux.capabilities import NAMES
from casemate.oci.runtime import Capabilities

# Docker's default also has MKNOD, NET_RAW and AUDIT_WRITE, which hardly any image needs.
DEFAULT = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_SETFCAP",
)
#: To become another user, and to end what that user runs; the rest needs nothing.
FEW = ("CAP_KILL", "CAP_SETGID", "CAP_SETUID")
_ALL = "ALL"


def choose(
    basis: Collection[str],
    add: Sequence[str],
    drop: Sequence[str],
    *,
    privileged: bool = False,
    available: Collection[str] = NAMES,
) -> tuple[str, ...]:
    """Return the capabilities of a container, in the order of their bits.

    ``basis`` is what it has unasked. Names may lack ``CAP_`` and be in any case; ``ALL`` stands
    for all of ``available``, the engine's own bounding set, which also is what ``privileged``
    gives, whatever else is asked. Adding wins over dropping. A capability of ``basis`` that is
    not available is left out; to ask for one by name, or for a name that is no capability,
    raises InvalidArgument.
    """
    added = {_normal(name, "--cap-add") for name in add}
    dropped = {_normal(name, "--cap-drop") for name in drop}
    if privileged:
        return _ordered(available)
    for name in sorted(added - {_ALL, *available}):
        raise InvalidArgument(
            f"cannot add capability {name}: the engine does not have it itself",
            hint="start the engine with this capability, or leave it out",
        )
    if _ALL in added:
        return _ordered(set(available) - dropped)
    kept = set() if _ALL in dropped else set(basis) - dropped
    return _ordered(kept & set(available) | added)


def united(one: Collection[str], other: Collection[str]) -> tuple[str, ...]:
    """Return the capabilities of both, in the order of their bits."""
    return _ordered({*one, *other})


def sets(chosen: Sequence[str], *, root: bool) -> Capabilities:
    """Return the five sets for a process; one that is not ``root`` only keeps the bounding set.

    A user other than root thus gets its capabilities from file capabilities alone, as with Docker.
    """
    held = tuple(chosen)
    usable = held if root else ()
    return Capabilities(bounding=held, effective=usable, permitted=usable)


def _normal(name: str, option: str) -> str:
    upper = name.upper()
    if upper == _ALL:
        return upper
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in NAMES:
        raise InvalidArgument(f"invalid {option} {name[:80]!r}: not the name of a capability")
    return full


def _ordered(chosen: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in NAMES if name in chosen)
