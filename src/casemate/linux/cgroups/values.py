"""The values that cgroups take and give: limits, device rules, usage. -1 lifts a limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class DeviceRule(NamedTuple):
    """One rule for opening (r, w) and making (m) device nodes; None is every number.

    ``kind`` is c, b or a; a stands for every device and starts over.
    """

    allow: bool
    kind: str = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


class Throttle(NamedTuple):
    """The most that goes to and from one block device in a second; None is not limited."""

    major: int
    minor: int
    read_bps: int | None = None
    write_bps: int | None = None
    read_iops: int | None = None
    write_iops: int | None = None


class Limits(NamedTuple):
    """What a cgroup enforces; None leaves a value as it is.

    ``memory_swap_bytes`` is memory and swap together, ``cpu_shares`` the version 1 scale of
    2..262144 with 1024 for an equal part, ``cpus`` and ``mems`` are lists like ``0-2,7``,
    ``hugepages`` are sizes of a page like ``2MB`` with bytes, ``io_weights`` are major and minor
    numbers of a device with a weight of 10..1000.
    """

    memory_bytes: int | None = None
    memory_low_bytes: int | None = None
    memory_swap_bytes: int | None = None
    swappiness: int | None = None
    oom_kill_disable: bool | None = None
    cpu_shares: int | None = None
    cpu_quota_us: int | None = None
    cpu_period_us: int | None = None
    cpus: str = ""
    mems: str = ""
    pids: int | None = None
    throttles: tuple[Throttle, ...] = ()
    io_weight: int | None = None
    io_weights: tuple[tuple[int, int, int], ...] = ()
    hugepages: tuple[tuple[str, int], ...] = ()
    devices: tuple[DeviceRule, ...] = ()


class Memory(NamedTuple):
    """Memory in bytes; ``peak_bytes`` is None where the kernel keeps none (before 5.19).

    ``stat`` is the kernel's memory.stat, whose names differ between the versions.
    """

    current_bytes: int
    peak_bytes: int | None
    limit_bytes: int
    swap_bytes: int
    failures: int
    oom_kills: int
    stat: Mapping[str, int]


class Cpu(NamedTuple):
    """Processor time in nanoseconds since the cgroup was made, and how it was throttled."""

    total_ns: int
    user_ns: int
    system_ns: int
    periods: int
    throttled_periods: int
    throttled_ns: int
    per_cpu_ns: tuple[int, ...]


class Io(NamedTuple):
    """What went to and from one block device."""

    major: int
    minor: int
    read_bytes: int
    write_bytes: int
    reads: int
    writes: int


class Usage(NamedTuple):
    """What a cgroup uses; a part is None where no controller counts it."""

    memory: Memory | None
    cpu: Cpu | None
    io: tuple[Io, ...] | None
    pids: int | None
    pids_limit: int | None
