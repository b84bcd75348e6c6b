from __future__ import annotations

from casemate.linux.cgroups.values import DeviceRule, Limits
from casemate.oci import runtime
from casemate.walls.resources import limits


def test_nothing_asked_limits_nothing() -> None:
    assert limits(runtime.Resources()) == Limits()


def test_every_resource_becomes_its_limit() -> None:
    asked = runtime.Resources(
        devices=(runtime.DeviceRule(False), runtime.DeviceRule(True, "c", 1, None, "r")),
        memory=runtime.Memory(1, 2, 3, 4, True),
        cpu=runtime.Cpu(5, 6, 7, "0-1", "0"),
        pids=runtime.Pids(8),
    )
    assert limits(asked) == Limits(
        memory_bytes=1,
        memory_low_bytes=2,
        memory_swap_bytes=3,
        swappiness=4,
        oom_kill_disable=True,
        cpu_shares=5,
        cpu_quota_us=6,
        cpu_period_us=7,
        cpus="0-1",
        mems="0",
        pids=8,
        devices=(DeviceRule(False), DeviceRule(True, "c", 1, None, "r")),
    )


def test_zero_leaves_the_processor_alone_and_lifts_the_limit_of_tasks() -> None:
    cpu, pids = runtime.Cpu(shares=0, quota=0, period=0), runtime.Pids(0)
    assert limits(runtime.Resources(cpu=cpu, pids=pids)) == Limits(pids=-1)
