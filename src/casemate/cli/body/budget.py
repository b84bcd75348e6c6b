"""The budget of a group: the limits that a container has, for all that is inside together."""

from __future__ import annotations

from casemate.cli.body.limits import cpus, size
from casemate.cli.create_options import CREATE_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments

_NAMES = frozenset(
    {
        *("cpu-shares", "cpus", "cpuset-cpus", "cpuset-mems", "memory", "memory-swap"),
        "pids-limit",
    }
)
OPTIONS = tuple(option for option in CREATE_OPTIONS if option.name in _NAMES)


def budget(arguments: Arguments) -> dict[str, Any]:
    """Return what was given, as the engine calls it. Raises BadUsage."""
    found: dict[str, Any] = {}
    if arguments.given("memory"):
        found["Memory"] = size(arguments, "memory")
    if arguments.given("memory-swap"):
        found["MemorySwap"] = size(arguments, "memory-swap", unlimited=True)
    if arguments.given("cpus"):
        found["NanoCpus"] = cpus(arguments)
    for option, name in (("cpu-shares", "CpuShares"), ("pids-limit", "PidsLimit")):
        if arguments.given(option):
            found[name] = arguments.number(option)
    for option, name in (("cpuset-cpus", "CpusetCpus"), ("cpuset-mems", "CpusetMems")):
        if arguments.given(option):
            found[name] = arguments.text(option)
    return found
