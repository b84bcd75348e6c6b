"""What a group has in force, and what of its budget is used."""

from __future__ import annotations

from typing import NamedTuple

from casemate.engine.engine import Engine
from casemate.engine.groups.records import Group
from casemate.errors import NotFound
from casemate.linux.cgroups.values import Limits, Usage


class Use(NamedTuple):
    """What the kernel says of a group; None for one that nothing has been started in."""

    limits: Limits
    usage: Usage


def read(engine: Engine, group: Group) -> Use | None:
    """Return what the kernel says of ``group``."""
    cgroup = engine.cgroup(engine.groups.path(group.name))
    try:
        return Use(cgroup.limits(), cgroup.usage())
    except NotFound:
        return None
