"""The cgroups of groups: there before anything is started inside, with their budgets in force.

They vanish when the machine stops, and are made again when they are needed.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from casemate.engine.engine import Engine
from casemate.engine.groups import budget as budgets
from casemate.engine.groups.records import Budget, Group
from casemate.errors import Conflict, Error
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.linux.cgroups.values import Limits

_LOG = logging.getLogger("casemate.groups")


def establish(engine: Engine, name: str) -> Cgroup:
    """Have the cgroup of the group ``name`` there, and those above, each within its budget.

    Raises what the kernel says against the budget; then the cgroup is not there.
    """
    for group in engine.groups.line(name):
        made = make(engine.cgroup(engine.groups.path(group.name)), group.budget)
    return made


def make(cgroup: Cgroup, budget: Budget) -> Cgroup:
    """Make ``cgroup`` where it is not there, and give it its budget."""
    if cgroup.establish():
        try:
            cgroup.apply(budgets.limits(budget))
        except BaseException:
            with contextlib.suppress(Conflict):
                cgroup.delete_empty()
            raise
    return cgroup


def apply(engine: Engine, group: Group) -> None:
    """Put the whole budget in force, if the group has a cgroup. Raises what the kernel says."""
    change(engine, group, budgets.limits(group.budget))


def change(engine: Engine, group: Group, changed: Limits) -> None:
    """Put what has changed of the group's budget in force, if it has a cgroup."""
    cgroup = engine.cgroup(engine.groups.path(group.name))
    if not cgroup.exists():
        return
    make(cgroup, group.budget)
    cgroup.apply(changed._replace(cpus="", mems=""))
    cgroup.share(group.budget.cpuset_cpus, group.budget.cpuset_mems, _own_sets(engine, group.name))


def _own_sets(engine: Engine, name: str) -> dict[str, tuple[str, str]]:
    """Return the processors and nodes of what is inside and has asked for some, by cgroup."""
    groups = engine.groups.inside(name)
    names = {name, *(group.name for group in groups)}
    found = {
        engine.groups.path(g.name): (g.budget.cpuset_cpus, g.budget.cpuset_mems) for g in groups
    }
    for record in engine.records.all():
        if record.fixed.group in names and record.state.cgroup:
            host = record.fixed.host
            found[record.state.cgroup] = (host.cpuset_cpus, host.cpuset_mems)
    return found


def findings(engine: Engine) -> Iterator[tuple[Group, str]]:
    """Yield what of groups' budgets is not in force where a group has a cgroup."""
    for group in engine.groups.all():
        cgroup = engine.cgroup(engine.groups.path(group.name))
        if cgroup.exists():
            try:
                wrong = cgroup.unheld(budgets.limits(group.budget))
            except Error as error:
                wrong = [error.message]
            for text in wrong:
                yield group, text


def recover(engine: Engine) -> None:
    """Put in force what an engine before this one wrote down and perhaps did not live to do."""
    for group in sorted(engine.groups.all(), key=lambda g: len(engine.groups.line(g.name))):
        try:
            apply(engine, group)
        except (Error, OSError) as error:
            _LOG.error("group %s: its budget is not in force: %s", group.name, error)
