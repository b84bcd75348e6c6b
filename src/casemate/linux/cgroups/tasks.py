"""How many tasks a cgroup may have.

Source: linux Documentation/admin-guide/cgroup-v1/pids.rst; both versions have the same files.
"""

from __future__ import annotations

from casemate.errors import InvalidArgument
from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.setting import Setting, parse_size, same
from casemate.linux.cgroups.values import Limits


def settings(place: Place, limits: Limits) -> list[Setting]:
    """Return what to write for the tasks part of ``limits``. Raises InvalidArgument."""
    if limits.pids is None:
        return []
    if limits.pids < -1:
        raise InvalidArgument(f"invalid limit of tasks {limits.pids}")
    return [same("pids.max", "max" if limits.pids < 0 else str(limits.pids))]


def limits(place: Place) -> Limits:
    """Return the limit in force. Raises OSError."""
    return Limits(pids=parse_size(place.read("pids.max")))


def usage(place: Place) -> int:
    """Return the number of tasks. Raises OSError."""
    return int(place.read("pids.current"))
