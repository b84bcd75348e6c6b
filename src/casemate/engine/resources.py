"""Limits as the API asks for them become limits of the runtime spec."""

from __future__ import annotations

from casemate.engine.blockdevices import block_io
from casemate.engine.model import HostConfig, Ulimit
from casemate.errors import InvalidArgument
from casemate.oci.runtime import Cpu, HugepageLimit, Memory, Pids, Resources, Rlimit

_MIN_MEMORY = 6 << 20
#: From here on the kernel shows a limit as none.
_TOO_MUCH = 1 << 62
_SHARES = (2, 262144)
#: PID_MAX_LIMIT. Source: linux include/linux/threads.h.
_MAX_TASKS = 4 << 20
#: In which a quota of time is counted when nothing else is asked.
PERIOD_US = 100_000


def resources(host: HostConfig) -> Resources:
    """Return what the cgroup shall enforce. Raises InvalidArgument for what no machine can."""
    hugepages = host.hugepage_limits or ()
    return Resources(
        memory=_memory(host),
        cpu=_cpu(host),
        pids=_pids(host),
        block_io=block_io(host),
        hugepage_limits=tuple(HugepageLimit(h.page_size, h.limit) for h in hugepages),
    )


def _memory(host: HostConfig) -> Memory | None:
    limited = host.memory or host.memory_reservation or host.memory_swap or host.oom_kill_disable
    if not limited and host.memory_swappiness in (None, -1):
        return None
    _check_memory(host)
    swappiness = host.memory_swappiness
    # Without a word on swap a container may use as much swap as memory.
    swap = host.memory_swap or (host.memory * 2 if host.memory else None)
    return Memory(
        limit=host.memory or None,
        reservation=host.memory_reservation or None,
        swap=swap,
        swappiness=None if swappiness in (None, -1) else swappiness,
        disable_oom_killer=host.oom_kill_disable or None,
    )


def _check_memory(host: HostConfig) -> None:
    for option, size_bytes in (
        ("--memory", host.memory),
        ("--memory-reservation", host.memory_reservation),
        ("--memory-swap", host.memory_swap),
    ):
        if size_bytes >= _TOO_MUCH:
            raise InvalidArgument(
                f"invalid {option} {size_bytes}: the kernel takes less than {_TOO_MUCH} bytes"
            )
    if host.memory_swap < -1:
        raise InvalidArgument(f"invalid --memory-swap {host.memory_swap}: -1 is unlimited")
    if host.memory_reservation and host.memory_reservation < _MIN_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if host.memory and host.memory < _MIN_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if host.memory_swap > 0 and not host.memory:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit")
    if 0 < host.memory_swap < host.memory:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit")
    if host.memory and host.memory_reservation > host.memory:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit")
    swappiness = host.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise InvalidArgument(
            f"Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        )


def _cpu(host: HostConfig) -> Cpu | None:
    if host.nano_cpus and (host.cpu_period or host.cpu_quota):
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if 0 < host.cpu_quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host.cpu_period and not 1000 <= host.cpu_period <= 1_000_000:
        raise InvalidArgument(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if host.cpu_quota < -1:
        raise InvalidArgument(f"invalid --cpu-quota {host.cpu_quota}: -1 is unlimited")
    if host.cpu_shares and not _SHARES[0] <= host.cpu_shares <= _SHARES[1]:
        raise InvalidArgument(
            f"invalid CPU shares {host.cpu_shares}: not in {_SHARES[0]}..{_SHARES[1]}"
        )
    quota, period = host.cpu_quota or None, host.cpu_period or None
    if host.nano_cpus:
        period, quota = PERIOD_US, host.nano_cpus * PERIOD_US // 1_000_000_000
    if not (host.cpu_shares or quota or period or host.cpuset_cpus or host.cpuset_mems):
        return None
    return Cpu(
        shares=host.cpu_shares or None,
        quota=quota,
        period=period,
        cpus=host.cpuset_cpus,
        mems=host.cpuset_mems,
    )


def _pids(host: HostConfig) -> Pids | None:
    limit = host.pids_limit
    if limit is None or limit == 0:
        return None
    if limit > _MAX_TASKS:
        raise InvalidArgument(f"invalid --pids-limit {limit}: there are no more than {_MAX_TASKS}")
    return Pids(-1 if limit < 0 else limit)


def rlimits(ulimits: list[Ulimit] | None) -> tuple[Rlimit, ...]:
    """Return resource limits from the API's; names are like ``nofile``."""
    return tuple(Rlimit(f"RLIMIT_{u.name.upper()}", u.soft, u.hard) for u in ulimits or ())
