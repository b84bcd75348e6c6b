"""Change a container's limits and its restart policy, also while it runs.

What is asked is written down first, with a mark that it is not in force yet; a crash in between is
made good by the next engine. What the kernel does not take is undone, in the kernel and on paper.

Source: Docker Engine API v1.47, ContainerUpdate; moby daemon/update.go.
"""

from __future__ import annotations

import logging

import msgspec

from casemate.engine import parents, policy, possible, states, unsupported
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.model import Config, HostConfig
from casemate.engine.records import Record
from casemate.engine.resources import resources
from casemate.engine.threads import in_thread
from casemate.errors import Conflict, Error, Unsupported
from casemate.linux.cgroups.values import Limits
from casemate.walls.resources import limits

_LOG = logging.getLogger("casemate.update")

#: What can be changed; anything else that is asked is refused.
_LIMITS = (
    *("cpu_period", "cpu_quota", "cpu_shares", "cpuset_cpus", "cpuset_mems", "memory"),
    *("memory_reservation", "memory_swap", "nano_cpus", "pids_limit", "blkio_weight"),
)
_EXCLUDING = (
    ("nano_cpus", "cpu_period", "Nano CPUs", "CPU Period"),
    ("nano_cpus", "cpu_quota", "Nano CPUs", "CPU Quota"),
    ("cpu_period", "nano_cpus", "CPU Period", "NanoCPUs"),
    ("cpu_quota", "nano_cpus", "CPU Quota", "NanoCPUs"),
)
_NOTHING = Limits()


async def update(engine: Engine, record: Record, asked: HostConfig) -> None:
    """Change what ``asked`` says of limits and policy; what it leaves out stays.

    Raises InvalidArgument, Conflict or Unsupported; then all is as it was.
    """
    _refuse(asked)
    async with engine.live(record.id).lock:
        record = engine.current(record)
        states.allow("update", record, engine.status(record))
        try:
            host = _merged(record.fixed.host, asked)
            possible.check(host, engine.hierarchies)
            parents.check(engine, record, host)
            changed = _changed(record.fixed.host, host)
            if record.active and changed != _NOTHING:
                await _change(engine, record, host, changed)
            else:
                engine.records.configure(record.id, host)
        except Error as error:
            reason = f"Cannot update container {record.id}: {error.message}"
            raise type(error)(reason, hint=error.hint) from error
    engine.events.publish("container", "update", record.id, attributes(record))


async def enforce(engine: Engine, record: Record) -> None:
    """Put in force what an engine before this one wrote down and did not live to do."""
    if not record.state.updating:
        return
    wanted = limits(resources(record.fixed.host))._replace(devices=())
    try:
        await in_thread(lambda: engine.cgroup(record.state.cgroup).apply(wanted))
    except Error as error:
        _LOG.error("container %s: its limits are not as updated: %s", record.name, error)
    engine.records.learn(record.id, updating=False)


def _refuse(asked: HostConfig) -> None:
    """Refuse what is not executed, and what cannot be changed. Raises Unsupported."""
    unsupported.refuse(Config(), asked)
    for field in msgspec.structs.fields(HostConfig):
        value = getattr(asked, field.name)
        if field.name not in _CHANGEABLE and value and value != getattr(_UNCHANGED, field.name):
            raise Unsupported(f"{field.encode_name} cannot be updated")


_UNCHANGED = HostConfig()
_CHANGEABLE = frozenset({*_LIMITS, "restart_policy"})


def _merged(host: HostConfig, asked: HostConfig) -> HostConfig:
    """Return ``host`` with what ``asked`` says. Raises Conflict, InvalidArgument."""
    for new, old, name, other in _EXCLUDING:
        if getattr(asked, new) > 0 and getattr(host, old) > 0:
            raise Conflict(
                f"Conflicting options: {name} cannot be updated as {other} has already been set"
            )
    changes = {field: value for field in _LIMITS if (value := getattr(asked, field))}
    if asked.memory:
        # Without a word on swap the container has twice its memory, which now has a number.
        swap = host.memory_swap or 2 * host.memory
        if not asked.memory_swap and asked.memory > swap:
            raise Conflict(
                "Memory limit should be smaller than already set memoryswap limit, update the"
                " memoryswap at the same time"
            )
        changes.setdefault("memory_swap", swap)
    if asked.pids_limit is not None:
        changes["pids_limit"] = asked.pids_limit if asked.pids_limit > 0 else -1
    if asked.restart_policy.name:
        changes["restart_policy"] = asked.restart_policy
        if host.auto_remove and policy.restarts(asked.restart_policy):
            raise Conflict(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
            )
    merged = msgspec.structs.replace(host, **changes)
    policy.check(merged)
    return merged


def _changed(before: HostConfig, after: HostConfig) -> Limits:
    """Return the limits that are other ones in ``after``. Raises InvalidArgument."""
    old, new = limits(resources(before)), limits(resources(after))
    changes = {f: getattr(new, f) for f in Limits._fields if getattr(new, f) != getattr(old, f)}
    return Limits(**changes)


async def _change(engine: Engine, record: Record, host: HostConfig, changed: Limits) -> None:
    cgroup = engine.cgroup(record.state.cgroup)
    before = await in_thread(cgroup.limits)
    engine.records.configure(record.id, host, updating=True)
    try:
        await in_thread(lambda: cgroup.apply(changed))
    except BaseException:
        await in_thread(lambda: cgroup.apply(_part(before, changed)))
        engine.records.configure(record.id, record.fixed.host, updating=False)
        raise
    engine.records.change(record.id, updating=False)


def _part(whole: Limits, chosen: Limits) -> Limits:
    """Return of ``whole`` what ``chosen`` has."""
    fields = [f for f in Limits._fields if getattr(chosen, f) != getattr(_NOTHING, f)]
    return Limits(**{field: getattr(whole, field) for field in fields})
