"""Processor shares, quota and time.

Source: linux Documentation/scheduler/sched-bwc.rst, cgroup-v1/cpuacct.rst, cgroup-v2.rst;
opencontainers/cgroups for the curve between shares and weight.
"""

from __future__ import annotations

import math
import os

from casemate.errors import InvalidArgument
from casemate.linux.cgroups.place import Place, pairs
from casemate.linux.cgroups.setting import Setting, same
from casemate.linux.cgroups.values import Cpu, Limits

_MIN_SHARES, _MAX_SHARES = 2, 262144
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def weight(shares: int) -> int:
    """Return the weight (1..10000) of version 2 for the shares (2..262144) of version 1.

    The curve goes through both ends and through the defaults, 1024 and 100.
    """
    if shares <= _MIN_SHARES:
        return 1
    if shares >= _MAX_SHARES:
        return 10000
    log = math.log2(shares)
    # Less a little, so that the rounding errors of the defaults do not round up.
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34) - 1e-9)


def shares(of_weight: int) -> int:
    """Return the shares that ``weight`` turns into ``of_weight``, or the nearest."""
    exponent = 612 * (math.log10(of_weight) + 7 / 34)
    return round(2 ** ((math.sqrt(125 * 125 + 4 * exponent) - 125) / 2))


def settings(place: Place, limits: Limits) -> list[Setting]:
    """Return what to write for the processor part of ``limits``. Raises InvalidArgument."""
    quota, period = limits.cpu_quota_us, limits.cpu_period_us
    if period is not None and not 1000 <= period <= 1_000_000:
        raise InvalidArgument(f"invalid CPU period {period} µs: not in 1000..1000000")
    if quota is not None and quota != -1 and quota < 1000:
        raise InvalidArgument(f"invalid CPU quota {quota} µs: less than 1000 and not -1")
    if limits.cpu_shares is not None and not _MIN_SHARES <= limits.cpu_shares <= _MAX_SHARES:
        raise InvalidArgument(
            f"invalid CPU shares {limits.cpu_shares}: not in {_MIN_SHARES}..{_MAX_SHARES}"
        )
    return _settings_v1(place, limits) if place.version == 1 else _settings_v2(place, limits)


def _settings_v1(place: Place, limits: Limits) -> list[Setting]:
    chosen = []
    if limits.cpu_shares is not None:
        chosen.append(same("cpu.shares", str(limits.cpu_shares)))
    quota, period = limits.cpu_quota_us, limits.cpu_period_us
    if period is not None:
        present = int(place.read("cpu.cfs_quota_us"))
        if quota is None and present > 0:
            quota = present
        if present > 0:
            # A new period with the old quota might ask for more than the parent has.
            chosen.append(same("cpu.cfs_quota_us", "-1")._replace(lasting=False))
        chosen.append(same("cpu.cfs_period_us", str(period)))
    if quota is not None:
        chosen.append(same("cpu.cfs_quota_us", str(quota)))
    return chosen


def _settings_v2(place: Place, limits: Limits) -> list[Setting]:
    chosen = []
    if limits.cpu_shares is not None:
        chosen.append(same("cpu.weight", str(weight(limits.cpu_shares))))
    if limits.cpu_quota_us is not None or limits.cpu_period_us is not None:
        quota, period = place.read("cpu.max").split()
        if limits.cpu_quota_us is not None:
            quota = "max" if limits.cpu_quota_us < 0 else str(limits.cpu_quota_us)
        if limits.cpu_period_us is not None:
            period = str(limits.cpu_period_us)
        chosen.append(same("cpu.max", f"{quota} {period}"))
    return chosen


def limits(place: Place) -> Limits:
    """Return the processor limits in force. Raises OSError."""
    if place.version == 1:
        return Limits(
            cpu_shares=int(place.read("cpu.shares")),
            cpu_quota_us=int(place.read("cpu.cfs_quota_us")),
            cpu_period_us=int(place.read("cpu.cfs_period_us")),
        )
    quota, period = place.read("cpu.max").split()
    return Limits(
        cpu_shares=shares(int(place.read("cpu.weight"))),
        cpu_quota_us=-1 if quota == "max" else int(quota),
        cpu_period_us=int(period),
    )


def usage(accounting: Place, throttling: Place | None) -> Cpu:
    """Return the time used; in version 1 two controllers know a part each. Raises OSError."""
    stat = pairs(throttling.read("cpu.stat")) if throttling else {}
    if accounting.version == 2:
        own = pairs(accounting.read("cpu.stat"))
        return Cpu(
            total_ns=own["usage_usec"] * 1000,
            user_ns=own["user_usec"] * 1000,
            system_ns=own["system_usec"] * 1000,
            periods=own.get("nr_periods", 0),
            throttled_periods=own.get("nr_throttled", 0),
            throttled_ns=own.get("throttled_usec", 0) * 1000,
            per_cpu_ns=(),
        )
    ticks = pairs(accounting.read("cpuacct.stat"))
    return Cpu(
        total_ns=int(accounting.read("cpuacct.usage")),
        user_ns=ticks.get("user", 0) * _TICK_NS,
        system_ns=ticks.get("system", 0) * _TICK_NS,
        periods=stat.get("nr_periods", 0),
        throttled_periods=stat.get("nr_throttled", 0),
        throttled_ns=stat.get("throttled_time", 0),
        per_cpu_ns=tuple(int(n) for n in accounting.read("cpuacct.usage_percpu").split()),
    )
