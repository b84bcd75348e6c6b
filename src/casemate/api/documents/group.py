"""A group as our own API describes it."""

from __future__ import annotations

from typing import Any

import msgspec

from casemate.engine.clock import rfc3339
from casemate.engine.engine import Engine
from casemate.engine.groups import life, use
from casemate.engine.groups.records import Group
from casemate.engine.groups.use import Use


def group(engine: Engine, found: Group) -> dict[str, Any]:
    """Return everything about the group. Reads control files: not for the event loop."""
    seen = use.read(engine, found)
    return {
        "Name": found.name,
        "Parent": found.parent,
        "Created": rfc3339(found.created_ns),
        "Cgroup": engine.groups.path(found.name),
        "Budget": msgspec.to_builtins(found.budget),
        "InForce": _limits(seen) if seen else None,
        "Use": _usage(seen) if seen else None,
        "Groups": [g.name for g in engine.groups.all() if g.parent == found.name],
        "Containers": [
            {"Id": record.id, "Name": record.name, "State": engine.status(record)}
            for record in life.containers(engine, found.name)
        ],
    }


def _limits(seen: Use) -> dict[str, Any]:
    """Return limits as the kernel keeps them; -1 for none, None where nothing manages them."""
    limits = seen.limits
    return {
        "Memory": limits.memory_bytes,
        "MemorySwap": limits.memory_swap_bytes,
        "CpuQuota": limits.cpu_quota_us,
        "CpuPeriod": limits.cpu_period_us,
        "CpuShares": limits.cpu_shares,
        "CpusetCpus": limits.cpus,
        "CpusetMems": limits.mems,
        "PidsLimit": limits.pids,
    }


def _usage(seen: Use) -> dict[str, Any]:
    memory, cpu = seen.usage.memory, seen.usage.cpu
    return {
        "Memory": memory.current_bytes if memory else None,
        "MemoryPeak": memory.peak_bytes if memory else None,
        "Swap": memory.swap_bytes if memory else None,
        "CpuNs": cpu.total_ns if cpu else None,
        "ThrottledNs": cpu.throttled_ns if cpu else None,
        "Pids": seen.usage.pids,
    }
