"""The cgroup that a container's own is made in: a group's, one that somebody names, the engine's.

A path that somebody names is made when it is not there. What was made so is written down first, and
removed when the last container has left it; what others have made, or use meanwhile, stays.
"""

from __future__ import annotations

from casemate.engine.engine import Engine
from casemate.engine.groups import budget, places
from casemate.engine.model import HostConfig
from casemate.engine.records import Record
from casemate.errors import Conflict, InvalidArgument
from casemate.linux.cgroups import lifecycle


def group_of(engine: Engine, host: HostConfig) -> str:
    """Return the name of the group that ``host`` asks for, empty for none.

    As with other engines, what is no group's name is a path; a group's name is never taken for one.
    Raises InvalidArgument.
    """
    parent = host.cgroup_parent
    if host.group and parent:
        raise InvalidArgument("conflicting options: --group and --cgroup-parent both name a parent")
    if host.group and host.group not in engine.groups:
        # Not NotFound: clients would take it for the image's.
        raise InvalidArgument(f"invalid --group {host.group[:80]!r}: there is no such group")
    if host.group:
        return host.group
    if parent in engine.groups:
        return parent
    # Its own cgroups the engine removes when nobody owns them.
    if lifecycle.checked(parent or "/x").split("/")[0] == engine.settings.name:
        raise InvalidArgument(f"invalid --cgroup-parent {parent[:200]!r}: it is the engine's own")
    return ""


def check(engine: Engine, record: Record, host: HostConfig) -> None:
    """Refuse a ``host`` with limits that are more than the container's group has.

    Raises InvalidArgument.
    """
    if record.fixed.group:
        budget.check(f"container {record.name}", host, engine.groups.line(record.fixed.group))


def path(engine: Engine, record: Record) -> str:
    """Return the path of the cgroup that the container's own is to be made in."""
    if record.fixed.group or not record.fixed.host.cgroup_parent:
        return engine.groups.path(record.fixed.group)
    return lifecycle.checked(record.fixed.host.cgroup_parent)


def ready(engine: Engine, record: Record) -> str:
    """Return ``path``; what is to be there before the container's own cgroup is made then is."""
    found = path(engine, record)
    if record.fixed.group:
        places.establish(engine, record.fixed.group)
    elif record.fixed.host.cgroup_parent:
        missing = [p for p in _line(found) if not engine.cgroup(p).exists()]
        if missing:
            engine.parents.add(missing)
    return found


def give_back(engine: Engine, gone: str) -> None:
    """Remove what was made for the cgroup ``gone`` and is of no use to anybody now."""
    if engine.parents.paths:
        for above in reversed(_line(gone)[:-1]):
            remove_unused(engine, above)


def unused(engine: Engine) -> list[str]:
    """Return the paths that were made for containers and have none below, the deepest first."""
    used = engine.cgroups
    found = sorted(engine.parents.paths, reverse=True)
    return [p for p in found if not any(u.startswith(f"{p}/") for u in used)]


def remove_unused(engine: Engine, above: str) -> None:
    """Remove the cgroup ``above`` if it was made for containers and has none below."""
    if above in unused(engine):
        try:
            engine.cgroup(above).delete_empty()
        except Conflict:
            return  # others have found a use for it: they are waited for
        engine.parents.remove(above)


def _line(found: str) -> list[str]:
    parts = found.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
