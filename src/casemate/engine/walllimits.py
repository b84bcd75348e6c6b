"""Each limit of a container beside the one that the kernel keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from casemate.engine.groups import budget as budgets
from casemate.engine.groups.records import Group
from casemate.engine.wall import NOT_HERE, Wall
from casemate.engine.wallsettings import DEFAULT, Settings
from casemate.linux.cgroups import cpu, cpuset
from casemate.linux.cgroups.setting import whole_pages
from casemate.linux.cgroups.values import Limits, Throttle
from casemate.oci.runtime import Rlimit

_NO_LIMIT = -1
_PERIOD_US = 100_000
_SHARES = 1024
#: A soft limit that is none is nothing in version 2, and everything in version 1.
_NONE = (None, 0, _NO_LIMIT)


def rows(wanted: Settings, found: Limits) -> Iterator[Wall]:
    """Yield the limits of the container's cgroup."""
    yield from _memory(wanted, found)
    yield from _processors(wanted, found)
    limits, host = wanted.limits, wanted.host
    yield _limit(
        "tasks",
        _NO_LIMIT if limits.pids is None else limits.pids,
        wanted.origin("--pids-limit", given=bool(host.pids_limit)),
        found.pids,
    )
    given = bool(limits.throttles)
    origin = "options --device-read-bps …" if given else DEFAULT
    kernel, setting = _throttles(found.throttles), _throttles(limits.throttles)
    yield Wall("block devices", setting, origin, kernel, limits.throttles == found.throttles)
    if limits.io_weight or limits.io_weights:
        yield _weights(limits, found)
    origin = "option --hugepage-limit" if limits.hugepages else DEFAULT
    kernel, setting = _pages(found.hugepages), _pages(limits.hugepages)
    yield Wall(
        "huge pages in bytes",
        setting,
        origin,
        kernel,
        set(limits.hugepages) == set(found.hugepages),
    )


def _memory(wanted: Settings, found: Limits) -> Iterator[Wall]:
    limits, host = wanted.limits, wanted.host
    swap = "--memory-swap" if host.memory_swap else "--memory" if host.memory else ""
    for name, limit, option, held in (
        ("memory in bytes", limits.memory_bytes, "--memory" if host.memory else "",
         found.memory_bytes),
        ("memory and swap in bytes", limits.memory_swap_bytes, swap, found.memory_swap_bytes),
        ("memory kept back in bytes", limits.memory_low_bytes,
         "--memory-reservation" if host.memory_reservation else "", found.memory_low_bytes),
    ):  # fmt: skip
        number = _NO_LIMIT if limit is None or limit < 0 else whole_pages(limit)
        yield _limit(name, number, _by(option), held)
    swappiness = limits.swappiness
    yield Wall(
        "swappiness",
        "the machine's" if swappiness is None else str(swappiness),
        _by("" if swappiness is None else "--memory-swappiness"),
        NOT_HERE if found.swappiness is None else str(found.swappiness),
        None if swappiness is None else swappiness == found.swappiness,
    )
    off = bool(limits.oom_kill_disable)
    yield Wall(
        "OOM killer",
        _switch(off),
        _by("--oom-kill-disable" if off else ""),
        _switch(bool(found.oom_kill_disable)),
        off == bool(found.oom_kill_disable),
    )


def _processors(wanted: Settings, found: Limits) -> Iterator[Wall]:
    host, limits = wanted.host, wanted.limits
    option = "--cpus" if host.nano_cpus else "--cpu-quota" if host.cpu_quota else ""
    yield _limit(
        "processors in µs of time",
        _NO_LIMIT if limits.cpu_quota_us is None else limits.cpu_quota_us,
        _by(option),
        found.cpu_quota_us,
        (limits.cpu_period_us or _PERIOD_US, found.cpu_period_us),
    )
    shares = limits.cpu_shares or _SHARES
    yield Wall(
        "processor shares",
        str(shares),
        _by("--cpu-shares" if limits.cpu_shares else ""),
        NOT_HERE if found.cpu_shares is None else str(found.cpu_shares),
        None if found.cpu_shares is None else _weighs(shares, found.cpu_shares),
    )
    yield _set("processors", limits.cpus, "--cpuset-cpus", found.cpus)
    yield _set("memory nodes", limits.mems, "--cpuset-mems", found.mems)


def _weighs(wanted: int, found: int) -> bool:
    """Tell whether shares are the same: version 2 keeps them as a coarser weight."""
    return wanted == found or cpu.weight(wanted) == cpu.weight(found)


def _set(name: str, wanted: str, option: str, found: str) -> Wall:
    holds = cpuset.parse_list(wanted) == cpuset.parse_list(found) if wanted else None
    setting = wanted or "all that are above"
    return Wall(name, setting, _by(option if wanted else ""), found or NOT_HERE, holds)


def _limit(
    name: str, limit: int, origin: str, found: int | None, periods: tuple[int, int | None] = (0, 0)
) -> Wall:
    """Return a limit; one that has ``periods`` (set, found) holds only together with its own."""
    kernel = NOT_HERE if found is None else _number(found, periods[1] or 0)
    nothing_set = limit == _NO_LIMIT and found in _NONE
    same = found == limit and periods[0] == periods[1]
    return Wall(name, _number(limit, periods[0]), origin, kernel, nothing_set or same)


def _by(option: str) -> str:
    return f"option {option}" if option else DEFAULT


def _switch(off: bool) -> str:
    return "off" if off else "on"


def _number(limit: int, period: int) -> str:
    if limit < 0:
        return "no limit"
    return f"{limit} of {period}" if period else str(limit)


def _throttles(throttles: Iterable[Throttle]) -> str:
    parts = []
    for throttle in throttles:
        rates = {kind: rate for kind, rate in throttle._asdict().items() if rate is not None}
        device = f"{rates.pop('major')}:{rates.pop('minor')}"
        parts.append(" ".join((device, *(f"{kind}={rate}" for kind, rate in rates.items()))))
    return ", ".join(parts) or "no limit"


def _weights(limits: Limits, found: Limits) -> Wall:
    """Return the weights, which are shown only if some are asked for: few devices know any."""

    def text(held: Limits) -> str:
        parts = [f"{major}:{minor}={weight}" for major, minor, weight in held.io_weights]
        return ", ".join([str(held.io_weight)] * bool(held.io_weight) + parts)

    same = limits.io_weight in (None, found.io_weight)
    holds = same and set(limits.io_weights) <= set(found.io_weights)
    return Wall("weight of block devices", text(limits), _by("--blkio-weight"), text(found), holds)


def _pages(limits: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{size}: {size_bytes}" for size, size_bytes in limits) or "no limit"


def resource_limits(wanted: Settings, held: Mapping[str, tuple[int, int]]) -> Wall:
    """Return the limits of the first process, of which it can lower its own.

    ``held`` are soft and hard limits by name, -1 for none.
    """
    asked = wanted.spec.process.rlimits
    given = bool(wanted.host.ulimits)
    found = [Rlimit(limit.type, *held[limit.type]) for limit in asked if limit.type in held]
    hard = {limit.type: limit.hard for limit in found}
    holds = all(_at_most(hard.get(limit.type, _NO_LIMIT), limit.hard) for limit in asked)
    return Wall(
        "resource limits", _rlimits(asked), _by("--ulimit" if given else ""), _rlimits(found), holds
    )


def _at_most(one: int, other: int) -> bool:
    return other == _NO_LIMIT or 0 <= one <= other


def _rlimits(limits: Iterable[Rlimit]) -> str:
    def text(value: int) -> str:
        return "unlimited" if value < 0 else str(value)

    names = ((limit.type.removeprefix("RLIMIT_").lower(), limit) for limit in limits)
    return ", ".join(f"{name} {text(one.soft)}:{text(one.hard)}" for name, one in names)


def group(found: Group, unheld: list[str]) -> Wall:
    """Return the budget of a group that the container is inside; ``unheld`` is what is not so."""
    budget = ", ".join(budgets.words(found.budget)) or "no limit"
    kernel = "; ".join(unheld) or "the same"
    return Wall(f"group {found.name}", budget, "group", kernel, not unheld)
