"""What a budget means to the kernel, and that nothing inside a group is promised more than it has.

What says nothing of a limit has that of its group: the kernel holds all of what is inside to it.
Shares are weights beside others, so one may have any number of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from casemate.engine.groups.records import Budget, Group
from casemate.engine.model import HostConfig
from casemate.engine.resources import PERIOD_US, resources
from casemate.errors import InvalidArgument
from casemate.linux.cgroups import cpuset
from casemate.linux.cgroups.values import Limits
from casemate.walls.resources import limits as of_resources

_BILLION = 1_000_000_000
#: How a limit is lifted that a budget does not have any more.
_LIFTED = Limits(
    memory_bytes=-1, memory_swap_bytes=-1, cpu_shares=1024, cpu_quota_us=-1, pids=-1
)._asdict()


def host_of(budget: Budget) -> HostConfig:
    """Return ``budget`` as a container's would be asked for."""
    return HostConfig(**msgspec.structs.asdict(budget))


def limits(budget: Budget) -> Limits:
    """Return what the group's cgroup shall enforce. Raises InvalidArgument."""
    return of_resources(resources(host_of(budget)))


def changed(before: Budget, after: Budget) -> Limits:
    """Return what is another limit ``after`` than ``before``, lifted where there is none any more.

    Processors and nodes that are not limited any more are not in it. Raises InvalidArgument.
    """
    old, new = limits(before), limits(after)
    found: dict[str, Any] = {}
    for field in Limits._fields:
        value = getattr(new, field)
        if value != getattr(old, field):
            found[field] = _LIFTED.get(field) if value is None else value
    return Limits(**found)


def check(what: str, host: HostConfig, groups: Iterable[Group]) -> None:
    """Refuse ``host``, asked for by ``what``, if it is more than one of ``groups`` has.

    Raises InvalidArgument that names the limit and the group.
    """
    for group in groups:
        for option, mine, theirs in _beyond(host, host_of(group.budget)):
            raise InvalidArgument(
                f"{what} cannot have {option} {mine}: that is more than the {theirs} of group"
                f" {group.name}"
            )


def _beyond(part: HostConfig, whole: HostConfig) -> Iterator[tuple[str, str, str]]:
    """Yield each option that asks for more in ``part`` than in ``whole``, with both values."""
    have = _amounts(whole)
    for option, mine in _amounts(part).items():
        if mine > have[option] > 0:
            yield option, _text(option, mine), _text(option, have[option])
    for option, asked, there in (
        ("--cpuset-cpus", part.cpuset_cpus, whole.cpuset_cpus),
        ("--cpuset-mems", part.cpuset_mems, whole.cpuset_mems),
    ):
        listed = cpuset.parse_list(asked), cpuset.parse_list(there)
        if asked and there and not cpuset.inside(*listed):
            yield option, asked, there


def words(budget: Budget) -> list[str]:
    """Return the budget as options."""
    host = host_of(budget)
    given = {option: _text(option, value) for option, value in _amounts(host).items() if value}
    sets = {"--cpuset-cpus": host.cpuset_cpus, "--cpuset-mems": host.cpuset_mems}
    shares = {"--cpu-shares": str(host.cpu_shares) if host.cpu_shares else ""}
    return [f"{name} {value}" for name, value in {**given, **shares, **sets}.items() if value]


def _amounts(host: HostConfig) -> dict[str, int]:
    """Return what is asked for in numbers; who asks for no limit has that of the group."""
    nano_cpus = host.nano_cpus
    if host.cpu_quota > 0:
        nano_cpus = host.cpu_quota * _BILLION // (host.cpu_period or PERIOD_US)
    return {
        "--memory": host.memory,
        "--memory-swap": host.memory_swap,
        "--cpus": nano_cpus,
        "--pids-limit": host.pids_limit or 0,
    }


def _text(option: str, value: int) -> str:
    return f"{value / _BILLION:g}" if option == "--cpus" else str(value)
