"""From the runtime spec's resources to the limits of a cgroup, and the device rules with them."""

from __future__ import annotations

from casemate.linux.cgroups import throttle
from casemate.linux.cgroups.values import DeviceRule, Limits, Throttle
from casemate.oci.runtime import BlockIo, Cpu, Memory, Resources


def limits(resources: Resources) -> Limits:
    """Return what ``resources`` mean to a cgroup.

    As with Docker, 0 leaves shares, quota and period as they are, and 0 lifts the limit of tasks.
    """
    memory = resources.memory or Memory()
    cpu = resources.cpu or Cpu()
    io = resources.block_io or BlockIo()
    return Limits(
        memory_bytes=memory.limit,
        memory_low_bytes=memory.reservation,
        memory_swap_bytes=memory.swap,
        swappiness=memory.swappiness,
        oom_kill_disable=memory.disable_oom_killer,
        cpu_shares=cpu.shares or None,
        cpu_quota_us=cpu.quota or None,
        cpu_period_us=cpu.period or None,
        cpus=cpu.cpus,
        mems=cpu.mems,
        pids=(resources.pids.limit or -1) if resources.pids else None,
        throttles=_throttles(io),
        io_weight=io.weight,
        io_weights=tuple((d.major, d.minor, d.weight) for d in io.weight_device),
        hugepages=tuple((limit.page_size, limit.limit) for limit in resources.hugepage_limits),
        devices=tuple(
            DeviceRule(rule.allow, rule.type, rule.major, rule.minor, rule.access)
            for rule in resources.devices
        ),
    )


def _throttles(io: BlockIo) -> tuple[Throttle, ...]:
    """Return one throttle for each device; a rate of 0 is no limit."""
    return throttle.merged(
        Throttle(device.major, device.minor)._replace(**{kind: device.rate})
        for kind in ("read_bps", "write_bps", "read_iops", "write_iops")
        for device in getattr(io, kind)
        if device.rate
    )
