"""Steps for the container's own view of its cgroups, below /sys/fs/cgroup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from casemate.oci.runtime import Mount, RuntimeSpec
from casemate.runtime.mountoptions import RDONLY, MountOptions, parse
from casemate.runtime.namespaces.mounts import REAL_DIRECTORY, filesystem, placed
from casemate.runtime.steps import Step, step

#: Types of a mount of cgroups: as the host has them, and version 2 whatever the host has.
KINDS = ("cgroup", "cgroup2")


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
    if _is_unified(mount, view):
        yield from filesystem("cgroup", "cgroup2", options._replace(data=()))
        return
    tmpfs = MountOptions(set=options.set & ~RDONLY, data=("mode=755",))
    yield from filesystem("cgroup", "tmpfs", tmpfs)
    for name, selection in view.hierarchies:
        chosen = MountOptions(set=options.set, data=selection)
        yield from filesystem(f"cgroup:{name}", "cgroup", chosen)


def divides(spec: RuntimeSpec) -> int | None:
    """Return who may divide the container's part of the cgroups, an id of the host; None for
    nobody.
    """
    if not any(mount.type == "cgroup2" for mount in spec.mounts):
        return None
    return spec.linux.uid_mappings[0].host_id if spec.linux.uid_mappings else 0


def _is_unified(mount: Mount, view: CgroupView) -> bool:
    return view.unified or mount.type == "cgroup2"


def placed_at(mount: Mount, view: CgroupView) -> Iterator[Step]:
    """Put them into the root."""
    yield from placed("cgroup", mount.destination, REAL_DIRECTORY)
    if _is_unified(mount, view):
        return
    for name, _ in view.hierarchies:
        path = f"{mount.destination}/{name}"
        yield from placed(f"cgroup:{name}", path, REAL_DIRECTORY)
        yield step("close", f"cgroup:{name}")
    if "ro" in mount.options:
        yield step("setattr", "cgroup", RDONLY, 0, 0, 0)
