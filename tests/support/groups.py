"""What tests of groups share: making them through the API, and looking at the kernel's side."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from casemate.composition import instance_name
from casemate.engine.paths import Paths
from casemate.http.client import Client
from casemate.linux.cgroups import cgroup as cgroups
from casemate.linux.cgroups import layout
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.linux.cgroups.hierarchies import Hierarchies
from support.engine import RunningEngine

MIB = 1 << 20
SLEEP = ("busybox", "sleep", "1000")


class GroupsOf:
    """The groups of an engine, through its API."""

    def __init__(self, engine: RunningEngine) -> None:
        self._client = Client(f"unix://{engine.socket}", "")
        self._top = instance_name(Paths(engine.root, engine.run))

    def create(self, name: str, parent: str = "", **budget: Any) -> None:
        """Make a group."""
        self._client.post("/casemate/groups/create", {"Name": name, "Parent": parent, **budget})

    def inspect(self, name: str) -> dict[str, Any]:
        """Return a group's description."""
        found: dict[str, Any] = self._client.get(f"/casemate/groups/{name}")
        return found

    def names(self) -> list[str]:
        """Return the names of all groups."""
        return [group["Name"] for group in self._client.get("/casemate/groups")]

    def update(self, name: str, **budget: Any) -> None:
        """Change a group's budget."""
        self._client.post(f"/casemate/groups/{name}/update", budget)

    def remove(self, name: str) -> None:
        """Remove a group."""
        self._client.call("DELETE", f"/casemate/groups/{name}")

    def clear(self) -> None:
        """Remove all groups, from the inside to the outside."""
        left = {g["Name"]: g["Parent"] for g in self._client.get("/casemate/groups")}
        while left:
            for name in set(left) - set(left.values()):
                self.remove(name)
                del left[name]

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@contextlib.contextmanager
def kernels(path: str) -> Iterator[Cgroup]:
    """Give the cgroup ``path`` as the kernel has it."""
    hierarchies = Hierarchies(layout.detect())
    try:
        yield cgroups.at(hierarchies, path)
    finally:
        hierarchies.close()


def remove_containers(engine: RunningEngine) -> None:
    """Remove all containers, whatever they do."""
    for container in engine.client.get("/containers/json?all=1"):
        engine.client.call("DELETE", f"/containers/{container['Id']}?force=1")
