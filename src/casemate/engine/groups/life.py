"""Make, change and remove groups; one at a time, as the budget of one bounds that of another.

A group is written down when the kernel holds it to its budget, and forgotten when its cgroup is
gone: what a crash leaves is a cgroup without a record, which the next engine removes, or a record
without a cgroup, which is made again when it is needed.
"""

from __future__ import annotations

import msgspec

from casemate.engine import possible
from casemate.engine.clock import now_ns
from casemate.engine.engine import Engine
from casemate.engine.groups import budget as budgets
from casemate.engine.groups import places, records
from casemate.engine.groups.records import MAX_DEPTH, Budget, Group
from casemate.engine.model import HostConfig
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.errors import Conflict, InvalidArgument


async def create(engine: Engine, name: str, parent: str, budget: Budget) -> Group:
    """Make the group ``name`` inside ``parent``, or of the machine's whole when that is empty.

    Raises AlreadyExists, NotFound for the parent, InvalidArgument for a budget that cannot be.
    """
    group = Group(records.checked(name), parent, now_ns(), budget)
    async with engine.grouping:
        if name in engine.groups:
            raise records.taken(name)
        above = engine.groups.line(parent) if parent else []
        if len(above) >= MAX_DEPTH:
            raise InvalidArgument(f"cannot make group {name}: deeper than {MAX_DEPTH}")
        _check(engine, group, above)
        path = f"{engine.groups.path(parent)}/{records.directory(name)}"
        engine.groups.making.add(path)
        try:
            await in_thread(lambda: _make(engine, group, path))
        finally:
            engine.groups.making.discard(path)
    _tell(engine, "create", group)
    return group


def _check(engine: Engine, group: Group, above: list[Group]) -> None:
    """Refuse a budget that this machine, or a group around, does not have."""
    host = budgets.host_of(group.budget)
    budgets.limits(group.budget)
    possible.check(host, engine.hierarchies)
    budgets.check(f"group {group.name}", host, above)


def _make(engine: Engine, group: Group, path: str) -> None:
    if group.parent:
        places.establish(engine, group.parent)
    cgroup = places.make(engine.cgroup(path), group.budget)
    try:
        engine.groups.add(group)
    except BaseException:
        cgroup.delete_empty()
        raise


async def update(engine: Engine, name: str, changes: dict[str, object]) -> None:
    """Change fields of the budget of the group ``name``, also while containers run inside.

    Raises InvalidArgument, or what the kernel says; then all is as it was.
    """
    async with engine.grouping:
        before = engine.groups.find(name)
        after = msgspec.structs.replace(
            before, budget=msgspec.structs.replace(before.budget, **changes)
        )
        above = engine.groups.line(name)[:-1]
        _check(engine, after, above)
        for part, host in _parts(engine, name):
            budgets.check(part, host, (after,))
        changed = budgets.changed(before.budget, after.budget)
        # Written down first: what a crash leaves undone is done by the next engine.
        engine.groups.change(name, after.budget)
        try:
            await in_thread(lambda: places.change(engine, after, changed))
        except BaseException:
            engine.groups.change(name, before.budget)
            undone = budgets.changed(after.budget, before.budget)
            await in_thread(lambda: places.change(engine, before, undone))
            raise
    _tell(engine, "update", after)


def _parts(engine: Engine, name: str) -> list[tuple[str, HostConfig]]:
    """Return what is inside at any depth: how it is called, and what it asks for."""
    groups = engine.groups.inside(name)
    names = {name, *(group.name for group in groups)}
    return [
        *((f"group {g.name}", budgets.host_of(g.budget)) for g in groups),
        *(
            (f"container {record.name}", record.fixed.host)
            for record in engine.owners()
            if record.fixed.group in names
        ),
    ]


async def remove(engine: Engine, name: str) -> None:
    """Remove the group ``name``. Raises Conflict, naming it, when something is inside."""
    async with engine.grouping:
        group = engine.groups.find(name)
        _refuse_inhabited(engine, name)
        await in_thread(engine.cgroup(engine.groups.path(name)).delete_empty)
        # Somebody may have come meanwhile; the cgroup is made again then.
        _refuse_inhabited(engine, name)
        engine.groups.remove(name)
    _tell(engine, "destroy", group)


def _refuse_inhabited(engine: Engine, name: str) -> None:
    inside = [f"group {g.name}" for g in engine.groups.all() if g.parent == name]
    inside += [f"container {record.name}" for record in containers(engine, name)]
    if inside:
        more = f" and {len(inside) - 1} more" if len(inside) > 1 else ""
        raise Conflict(f"cannot remove group {name}: {inside[0]} is inside{more}")


def containers(engine: Engine, name: str) -> list[Record]:
    """Return the containers right inside the group, running or not."""
    return [record for record in engine.owners() if record.fixed.group == name]


def _tell(engine: Engine, action: str, group: Group) -> None:
    engine.events.publish("group", action, group.name, {"name": group.name})
