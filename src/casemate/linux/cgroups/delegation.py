"""The part of a cgroup that its processes may divide: one cgroup below it, in version 2 alone.

The limits are those of the cgroup above, which nobody inside can name; they hold for all that is
made below. A container cannot make more cgroups than are allowed, nor deeper ones.

Source: linux Documentation/admin-guide/cgroup-v2.rst, Delegation; man 7 cgroups.
"""

from __future__ import annotations

import os

from casemate.errors import Unsupported, from_os
from casemate.linux.cgroups import lifecycle, setting
from casemate.linux.cgroups.hierarchies import Hierarchies
from casemate.linux.cgroups.setting import same

#: The part's name below the cgroup.
NAME = "system"
#: What whoever it is handed to must be able to write. Source: /sys/kernel/cgroup/delegate.
_FILES = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
_MAX_DESCENDANTS, _MAX_DEPTH = 1024, 24


def delegate(hierarchies: Hierarchies, path: str, owner: int) -> None:
    """Make the part of the cgroup ``path`` and hand it to ``owner``, an id of the host.

    Raises Unsupported without version 2, or what the kernel's error means.
    """
    unified = hierarchies.unified
    if unified is None:
        raise Unsupported(
            "a system needs cgroups of version 2, which are not mounted",
            hint="mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified",
        )
    try:
        above, part = unified.place(path), f"{path}/{NAME}"
        bounds = {"cgroup.max.descendants": _MAX_DESCENDANTS, "cgroup.max.depth": _MAX_DEPTH}
        setting.apply(above, [same(file, str(value)) for file, value in bounds.items()])
        lifecycle.create_in(unified, part)
        if owner:
            for name in (part, *(f"{part}/{file}" for file in _FILES)):
                os.chown(name, owner, owner, dir_fd=unified.fd)
    except OSError as error:
        raise from_os(error, f"cannot delegate cgroup {path}") from error


def place_of(path: str, pid: int) -> str:
    """Return where below the cgroup ``path`` the process ``pid`` is in version 2: its part, or
    what was made below that. Raises OSError.

    In version 2 a cgroup that is divided holds no processes: another one is put beside this one.
    """
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        unified = next((line for line in file.read().split("\n") if line.startswith("0::")), "")
    _, _, below = unified.partition(f"/{path}/{NAME}/")
    return f"{NAME}/{below}".rstrip("/")
