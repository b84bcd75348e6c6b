"""Steps for the container's own view of its cgroups, below /sys/fs/cgroup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from casemate.oci.runtime import Mount
from casemate.runtime.mountoptions import RDONLY, MountOptions, parse
from casemate.runtime.namespaces.mounts import REAL_DIRECTORY, filesystem, placed
from casemate.runtime.steps import Step, step


class CgroupView(NamedTuple):
    """How the host's cgroups are mounted.

    ``unified`` for version 2 alone; otherwise ``hierarchies`` names each version 1 hierarchy with
    the mount options that select it.
    """

    unified: bool = False
    hierarchies: tuple[tuple[str, tuple[str, ...]], ...] = ()


def made(mount: Mount, view: CgroupView) -> Iterator[Step]:
    """Make the file systems, seen from the cgroup namespace that the room has entered by now."""
    options = parse(mount.options, mount.destination)
    if view.unified:
        yield from filesystem("cgroup", "cgroup2", options._replace(data=()))
        return
    tmpfs = MountOptions(set=options.set & ~RDONLY, data=("mode=755",))
    yield from filesystem("cgroup", "tmpfs", tmpfs)
    for name, selection in view.hierarchies:
        chosen = MountOptions(set=options.set, data=selection)
        yield from filesystem(f"cgroup:{name}", "cgroup", chosen)


def placed_at(mount: Mount, view: CgroupView) -> Iterator[Step]:
    """Put them into the root."""
    yield from placed("cgroup", mount.destination, REAL_DIRECTORY)
    if view.unified:
        return
    for name, _ in view.hierarchies:
        path = f"{mount.destination}/{name}"
        yield from placed(f"cgroup:{name}", path, REAL_DIRECTORY)
        yield step("close", f"cgroup:{name}")
    if "ro" in mount.options:
        yield step("setattr", "cgroup", RDONLY, 0, 0, 0)
