"""Memory limits and usage.

Source: linux Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst; runtime-spec v1.2
config-linux.md for what swap means.
"""

from __future__ import annotations

from casemate.errors import InvalidArgument, Unsupported
from casemate.linux.cgroups.place import Place, pairs
from casemate.linux.cgroups.setting import Setting, parse_size, same, size, whole_pages
from casemate.linux.cgroups.values import Limits, Memory

_MEMORY = {1: "memory.limit_in_bytes", 2: "memory.max"}
_SWAP_V1 = "memory.memsw.limit_in_bytes"


def settings(place: Place, limits: Limits) -> list[Setting]:
    """Return what to write for the memory part of ``limits``.

    Raises InvalidArgument for limits that contradict each other, Unsupported for what the
    version does not have.
    """
    swap = limits.memory_swap_bytes
    for value in (limits.memory_bytes, swap, limits.memory_low_bytes):
        if value is not None and not -1 <= value < 1 << 63:
            raise InvalidArgument(f"invalid memory limit {value}")
    if swap is not None and swap >= 0:
        memory = _memory_then(place, limits)
        if memory < 0:
            raise InvalidArgument("invalid memory limits: swap is limited and memory is not")
        if swap < memory:
            raise InvalidArgument(
                f"invalid memory limits: memory and swap together ({swap}) are less than memory"
                f" ({memory})"
            )
    return _settings_v1(place, limits) if place.version == 1 else _settings_v2(place, limits)


def _memory_then(place: Place, limits: Limits) -> int:
    """Return the memory limit that will be in force once ``limits`` are."""
    if limits.memory_bytes is not None:
        return limits.memory_bytes
    return parse_size(place.read(_MEMORY[place.version]))


def _settings_v1(place: Place, limits: Limits) -> list[Setting]:
    memory, swap = limits.memory_bytes, limits.memory_swap_bytes
    if memory == -1 and swap is None and place.has(_SWAP_V1):
        swap = -1
    chosen = []
    if memory is not None:
        chosen.append(size(_MEMORY[1], memory, unlimited="-1"))
    if swap is not None:
        chosen.append(size(_SWAP_V1, swap, unlimited="-1"))
        if memory is not None and _grows(place, swap):
            chosen.reverse()
    if limits.memory_low_bytes is not None:
        low = limits.memory_low_bytes
        chosen.append(size("memory.soft_limit_in_bytes", low, unlimited="-1"))
    if limits.swappiness is not None:
        chosen.append(same("memory.swappiness", str(limits.swappiness)))
    if limits.oom_kill_disable is not None:
        value = int(limits.oom_kill_disable)
        chosen.append(
            Setting(
                "memory.oom_control",
                str(value),
                lambda text: pairs(text).get("oom_kill_disable") == value,
            )
        )
    return chosen


def _grows(place: Place, swap: int) -> bool:
    # The kernel keeps memory <= memory and swap at every step, so a rise begins with the sum.
    if swap < 0:
        return True
    try:
        present = parse_size(place.read(_SWAP_V1))
    except FileNotFoundError:
        return False
    return 0 <= present < swap


def _settings_v2(place: Place, limits: Limits) -> list[Setting]:
    if limits.swappiness is not None:
        raise Unsupported("cannot set the swappiness of a cgroup: version 2 has none")
    if limits.oom_kill_disable:
        raise Unsupported("cannot switch the OOM killer off: cgroups of version 2 always have it")
    memory, swap = limits.memory_bytes, limits.memory_swap_bytes
    chosen = []
    if memory is not None:
        chosen.append(size(_MEMORY[2], memory, unlimited="max"))
    if memory == -1 and swap is None and place.has("memory.swap.max"):
        swap = -1
    if swap is not None:
        # Rounded like the memory limit, so that the sum is what was asked.
        alone = swap if swap < 0 else swap - whole_pages(_memory_then(place, limits))
        # Without swap accounting nothing is lost by not lifting and not forbidding it.
        if alone > 0 or place.has("memory.swap.max"):
            chosen.append(size("memory.swap.max", alone, unlimited="max"))
    if limits.memory_low_bytes is not None:
        chosen.append(size("memory.low", limits.memory_low_bytes, unlimited="max"))
    return chosen


def limits(place: Place) -> Limits:
    """Return the memory limits in force. Raises OSError."""
    if place.version == 1:
        return Limits(
            memory_bytes=parse_size(place.read(_MEMORY[1])),
            memory_low_bytes=parse_size(place.read("memory.soft_limit_in_bytes")),
            memory_swap_bytes=_optional(place, _SWAP_V1),
            swappiness=int(place.read("memory.swappiness")),
            oom_kill_disable=bool(pairs(place.read("memory.oom_control"))["oom_kill_disable"]),
        )
    memory = parse_size(place.read(_MEMORY[2]))
    swap = _optional(place, "memory.swap.max")
    if swap is not None and swap >= 0:
        swap = memory + swap if memory >= 0 else -1
    return Limits(
        memory_bytes=memory,
        memory_low_bytes=parse_size(place.read("memory.low")),
        memory_swap_bytes=swap,
    )


def usage(place: Place) -> Memory:
    """Return what is used now. Raises OSError."""
    stat = pairs(place.read("memory.stat"))
    if place.version == 1:
        current = int(place.read("memory.usage_in_bytes"))
        with_swap = _optional(place, "memory.memsw.usage_in_bytes")
        return Memory(
            current_bytes=current,
            peak_bytes=int(place.read("memory.max_usage_in_bytes")),
            limit_bytes=parse_size(place.read(_MEMORY[1])),
            swap_bytes=max(0, with_swap - current) if with_swap is not None else 0,
            failures=int(place.read("memory.failcnt")),
            oom_kills=oom_kills(place),
            stat=stat,
        )
    events = pairs(place.read("memory.events"))
    return Memory(
        current_bytes=int(place.read("memory.current")),
        peak_bytes=_optional(place, "memory.peak"),
        limit_bytes=parse_size(place.read(_MEMORY[2])),
        swap_bytes=_optional(place, "memory.swap.current") or 0,
        failures=events.get("max", 0),
        oom_kills=events.get("oom_kill", 0),
        stat=stat,
    )


def oom_kills(place: Place) -> int:
    """Return how many processes the OOM killer took. Raises OSError."""
    file = "memory.oom_control" if place.version == 1 else "memory.events"
    return pairs(place.read(file)).get("oom_kill", 0)


def _optional(place: Place, file: str) -> int | None:
    try:
        return parse_size(place.read(file))
    except FileNotFoundError:
        return None
