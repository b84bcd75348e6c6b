"""Which cgroup hierarchies are mounted where, and where this process is in them.

Source: proc_pid_mountinfo(5), cgroups(7); linux Documentation/admin-guide/cgroup-v1/cgroups.rst.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from casemate.errors import Unsupported

_V1_CONTROLLERS = frozenset(
    (
        *("blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory"),
        *("misc", "net_cls", "net_prio", "perf_event", "pids", "rdma"),
    )
)
_ESCAPE = re.compile(r"\\([0-7]{3})")
_USUAL = "/sys/fs/cgroup"


class Hierarchy(NamedTuple):
    """One mounted hierarchy.

    ``mount`` is the mount point, ``controllers`` what is managed there, ``selection`` the mount
    options that select a version 1 hierarchy, ``own`` this process's cgroup below the mount point
    ("" for its root).
    """

    version: int
    mount: str
    controllers: tuple[str, ...]
    selection: tuple[str, ...]
    own: str


class Layout(NamedTuple):
    """All hierarchies of a machine; ``kernel`` is the major and minor version."""

    hierarchies: tuple[Hierarchy, ...]
    kernel: tuple[int, int]

    @property
    def mode(self) -> str:
        """Return ``v1``, ``v2`` or, where controllers are left to version 1, ``hybrid``."""
        versions = {hierarchy.version for hierarchy in self.hierarchies}
        return "hybrid" if len(versions) > 1 else f"v{versions.pop()}"

    def of(self, controller: str) -> Hierarchy | None:
        """Return the hierarchy that manages ``controller``, None when there is none."""
        for hierarchy in self.hierarchies:
            if controller in hierarchy.controllers:
                return hierarchy
        return None


def detect(root: str = "/") -> Layout:
    """Return the layout of this machine; ``root`` is where its /proc and /sys are found.

    Raises Unsupported when no hierarchy is mounted or the kernel does not tell its version,
    OSError when /proc is not there.
    """
    base = root.rstrip("/")
    places = _own_places(_text(f"{base}/proc/self/cgroup"))
    found: dict[tuple[int, tuple[str, ...]], tuple[tuple[bool, bool], Hierarchy]] = {}
    for line in _text(f"{base}/proc/self/mountinfo").splitlines():
        parsed = _hierarchy(line, base, places)
        if parsed is None:
            continue
        rank, hierarchy = parsed
        key = hierarchy.version, hierarchy.selection
        # The same hierarchy may be mounted more than once, in containers for one.
        if key not in found or rank < found[key][0]:
            found[key] = rank, hierarchy
    if not found:
        raise Unsupported(
            "no cgroup hierarchy is mounted",
            hint="mount one: mount -t cgroup2 none /sys/fs/cgroup",
        )
    release = _text(f"{base}/proc/sys/kernel/osrelease")
    version = re.match(r"([0-9]+)\.([0-9]+)", release)
    if not version:
        raise Unsupported(f"cannot read the kernel's version {release.strip()!r}")
    hierarchies = tuple(hierarchy for _, hierarchy in found.values())
    return Layout(hierarchies, (int(version[1]), int(version[2])))


def _hierarchy(
    line: str, base: str, places: dict[str, str]
) -> tuple[tuple[bool, bool], Hierarchy] | None:
    before, separator, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if not separator or len(fields) < 6 or len(rest) < 3 or rest[0] not in ("cgroup", "cgroup2"):
        return None
    top, mount = _unescaped(fields[3]), _unescaped(fields[4])
    rank = top != "/", not f"{mount}/".startswith(f"{_USUAL}/")
    if rest[0] == "cgroup2":
        controllers = tuple(_text(f"{base}{mount}/cgroup.controllers").split())
        own = _below(places.get("", "/"), top)
        return rank, Hierarchy(2, base + mount, controllers, (), own)
    options = rest[2].split(",")
    named = tuple(option for option in options if option.startswith("name="))
    controllers = tuple(option for option in options if option in _V1_CONTROLLERS)
    own = _below(next((places[c] for c in (*controllers, *named) if c in places), "/"), top)
    selection = controllers or ("none", *named)
    return rank, Hierarchy(1, base + mount, controllers, selection, own)


def _own_places(text: str) -> dict[str, str]:
    places = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            places[controller] = path
    return places


def _below(path: str, top: str) -> str:
    # A mount seen from a foreign cgroup namespace has a top like /../..; nothing is known then.
    if top != "/" and f"{path}/".startswith(f"{top}/"):
        path = path[len(top) :]
    return path.strip("/")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
