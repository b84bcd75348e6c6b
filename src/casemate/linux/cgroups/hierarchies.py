"""The hierarchies that containers live in, held open by directory descriptors.

A container has a cgroup in every version 1 hierarchy with a controller that casemate uses, and in
version 2 where it is mounted: even without controllers it kills and freezes in one step, and it
tells when a cgroup becomes empty.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from casemate.errors import Unsupported
from casemate.linux.cgroups.layout import Hierarchy, Layout
from casemate.linux.cgroups.place import Place

#: What is wanted of the controllers of version 2; its devices are a BPF program.
WANTED = ("cpu", "cpuset", "io", "memory", "pids")
_WANTED_V1 = frozenset(
    {"blkio", "cpu", "cpuacct", "cpuset", "devices", "hugetlb", "memory", "pids"}
)
_CGROUP_KILL = (5, 14)  # the kernel that brought cgroup.kill; cgroup.freeze came with 5.2


class Held(NamedTuple):
    """A hierarchy and the descriptor of its mount point."""

    hierarchy: Hierarchy
    fd: int

    def place(self, path: str) -> Place:
        """Return the place of the cgroup ``path`` in this hierarchy."""
        return Place(self.fd, path, self.hierarchy.version)


class Features(NamedTuple):
    """What can be limited: the controllers that are used, and some settings of memory.

    ``swap`` may promise too much in version 2, where a kernel can be started without.
    """

    controllers: frozenset[str]
    swap: bool
    oom_kill_disable: bool
    swappiness: bool


class Hierarchies:
    """The descriptors of the hierarchies that are used; close them when done."""

    def __init__(self, layout: Layout) -> None:
        """Open the hierarchies of ``layout``. Raises OSError."""
        self.layout = layout
        unified = next((h for h in layout.hierarchies if h.version == 2), None)
        self._v2_processes = unified is not None and layout.kernel >= _CGROUP_KILL
        used = [h for h in layout.hierarchies if self._is_used(h)]
        self.held: tuple[Held, ...] = ()
        try:
            for hierarchy in used:
                fd = os.open(hierarchy.mount, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                self.held += (Held(hierarchy, fd),)
        except OSError:
            self.close()
            raise
        self._by_controller = {c: held for held in self.held for c in held.hierarchy.controllers}
        self.unified = next((held for held in self.held if held.hierarchy.version == 2), None)

    def _is_used(self, hierarchy: Hierarchy) -> bool:
        if hierarchy.version == 2:
            return self._v2_processes or not _WANTED_V1.isdisjoint(hierarchy.controllers)
        wanted = _WANTED_V1 if self._v2_processes else _WANTED_V1 | {"freezer"}
        return not wanted.isdisjoint(hierarchy.controllers)

    def find(self, controller: str, path: str) -> Place | None:
        """Return the place of ``path`` under ``controller``, None when nothing manages it."""
        held = self._by_controller.get(controller)
        return held.place(path) if held else None

    def processes(self, path: str) -> Place:
        """Return the place where the processes of ``path`` are listed, frozen and killed.

        Raises Unsupported when there is neither version 2 nor a freezer.
        """
        if self.unified:
            return self.unified.place(path)
        place = self.find("freezer", path)
        if place is None:
            raise Unsupported("cannot control processes: no cgroup freezer is mounted")
        return place

    def features(self) -> Features:
        """Return what can be limited here."""
        memory = self.find("memory", ".")
        return Features(
            controllers=frozenset(self._by_controller),
            swap=memory is not None
            and (memory.version == 2 or memory.has("memory.memsw.limit_in_bytes")),
            oom_kill_disable=memory is not None and memory.version == 1,
            swappiness=memory is not None and memory.version == 1,
        )

    def close(self) -> None:
        """Close the descriptors."""
        for held in self.held:
            os.close(held.fd)
        self.held = ()
