"""What a container uses now, as Docker's stats tell it.

Source: Docker Engine API v1.47, ContainerStats; docker/cli, stats, for what its numbers are made
of: memory without ``total_inactive_file`` (version 1) or ``inactive_file`` (version 2).
"""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

from casemate.engine.clock import ZERO, now_ns, rfc3339
from casemate.engine.records import Record
from casemate.errors import Internal, NotFound
from casemate.linux import counters
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.linux.cgroups.values import Cpu, Io, Memory, Usage
from casemate.linux.counters import Traffic

_MACHINE_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
_NOTHING_USED = {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
_NOT_THROTTLED = {"periods": 0, "throttled_periods": 0, "throttled_time": 0}
_NO_CPU = {"cpu_usage": _NOTHING_USED, "throttling_data": _NOT_THROTTLED}


class Reading(NamedTuple):
    """One look at a container. ``run`` tells its runs apart, since counters begin anew."""

    run: str
    at: str
    cpu: dict[str, Any]
    rest: dict[str, Any]


class Processors:
    """The time of all processors, known at any moment from one look at it a second."""

    def __init__(self) -> None:
        self._seen = (0, 0)
        self._at_ns = 0

    def now(self) -> tuple[int, int]:
        """Return their time together in nanoseconds, and their number. Raises OSError."""
        elapsed_ns = time.monotonic_ns() - self._at_ns
        if not self._at_ns or elapsed_ns > 1_000_000_000:
            self._seen, self._at_ns = counters.processor_time(), time.monotonic_ns()
            elapsed_ns = 0
        total_ns, number = self._seen
        return total_ns + elapsed_ns * number, number


class Subject(NamedTuple):
    """What is looked at: a cgroup, and the interfaces whose names begin with ``prefix`` where the
    process ``pid`` is.
    """

    cgroup: Cgroup
    pid: int
    prefix: str


def read(subject: Subject, processors: Processors) -> Reading | None:
    """Return what is used; None when the container has ended. Blocking."""
    try:
        used = subject.cgroup.usage()
        interfaces = _interfaces(subject)
    except (NotFound, Internal, OSError):  # Internal: a file of a cgroup that is being removed
        return None
    cpu = _cpu(used.cpu, *processors.now()) if used.cpu else _NO_CPU
    return Reading(subject.cgroup.path, rfc3339(now_ns()), cpu, _rest(used, interfaces))


def document(record: Record, reading: Reading | None, before: Reading | None) -> dict[str, Any]:
    """Return what the API says; of a container that does not run, only who it is."""
    if reading and before and before.run != reading.run:
        before = None
    return {
        "id": record.id,
        "name": f"/{record.name}",
        "read": reading.at if reading else ZERO,
        "preread": before.at if before else ZERO,
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": reading.cpu if reading else _NO_CPU,
        "precpu_stats": before.cpu if before else _NO_CPU,
        **(reading.rest if reading else _rest(Usage(None, None, None, None, None), {})),
    }


def _interfaces(subject: Subject) -> dict[str, Traffic]:
    """Return the counters of the container's endpoints: not of what it has made by itself."""
    if os.readlink(f"/proc/{subject.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        return {}  # they are the host's
    found = counters.traffic(subject.pid).items()
    return {n: t for n, t in found if n != "lo" and n.startswith(subject.prefix)}


def _rest(used: Usage, interfaces: dict[str, Traffic]) -> dict[str, Any]:
    pids: dict[str, int] = {}
    if used.pids is not None:
        pids["current"] = used.pids
        if used.pids_limit is not None and used.pids_limit >= 0:
            pids["limit"] = used.pids_limit
    found: dict[str, Any] = {
        "memory_stats": _memory(used.memory) if used.memory else {},
        "blkio_stats": _blkio(used.io or ()),
        "pids_stats": pids,
    }
    if interfaces:
        found["networks"] = {name: t._asdict() for name, t in interfaces.items()}
    return found


def _cpu(cpu: Cpu, system_ns: int, processors: int) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "total_usage": cpu.total_ns,
        "usage_in_kernelmode": cpu.system_ns,
        "usage_in_usermode": cpu.user_ns,
    }
    if cpu.per_cpu_ns:
        usage["percpu_usage"] = cpu.per_cpu_ns
    return {
        "cpu_usage": usage,
        "system_cpu_usage": system_ns,
        "online_cpus": processors,
        "throttling_data": {
            "periods": cpu.periods,
            "throttled_periods": cpu.throttled_periods,
            "throttled_time": cpu.throttled_ns,
        },
    }


def _memory(memory: Memory) -> dict[str, Any]:
    limit = memory.limit_bytes
    found: dict[str, Any] = {
        "usage": memory.current_bytes,
        "stats": memory.stat,
        "limit": limit if 0 <= limit < _MACHINE_BYTES else _MACHINE_BYTES,
    }
    if memory.peak_bytes is not None:
        found["max_usage"] = memory.peak_bytes
    if memory.failures:
        found["failcnt"] = memory.failures
    return found


def _blkio(devices: tuple[Io, ...]) -> dict[str, Any]:
    sizes, counts = [], []
    for io in devices:
        for op, size, count in (
            ("read", io.read_bytes, io.reads),
            ("write", io.write_bytes, io.writes),
        ):
            place = {"major": io.major, "minor": io.minor, "op": op}
            sizes.append({**place, "value": size})
            counts.append({**place, "value": count})
    found: dict[str, Any] = {
        "io_service_bytes_recursive": sizes or None,
        "io_serviced_recursive": counts or None,
    }
    return found | dict.fromkeys(_NOT_COUNTED)


_NOT_COUNTED = (
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)
