"""What the engine tells of a container's use, as columns; the numbers are those of docker stats."""

from __future__ import annotations

from casemate.cli.containers import short_id
from casemate.cli.listing import Listing
from casemate.cli.units import binary_size, human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    #: ``container`` is the name that was asked for, ``stats`` what was told last, None for nothing.
    Use = dict[str, Any]

_UNKNOWN = "--"


def _cpu(use: Use, whole: bool) -> str:
    stats = use["stats"]
    now, before = stats.get("cpu_stats") or {}, stats.get("precpu_stats") or {}
    used = _total(now) - _total(before)
    system = (now.get("system_cpu_usage") or 0) - (before.get("system_cpu_usage") or 0)
    processors = now.get("online_cpus") or len(
        (now.get("cpu_usage") or {}).get("percpu_usage") or ()
    )
    share = used / system * processors * 100 if used > 0 and system > 0 else 0
    return f"{share:.2f}%"


def _total(cpu: dict[str, Any]) -> int:
    return int((cpu.get("cpu_usage") or {}).get("total_usage") or 0)


def _memory(use: Use) -> tuple[int, int]:
    """Return what is used without the cache that can be given up at once, and the limit."""
    memory = use["stats"].get("memory_stats") or {}
    used, counts = memory.get("usage") or 0, memory.get("stats") or {}
    for name in ("total_inactive_file", "inactive_file"):  # of cgroups version 1 and 2
        if name in counts and counts[name] < used:
            used -= counts[name]
            break
    return used, memory.get("limit") or 0


def _memory_use(use: Use, whole: bool) -> str:
    used, limit = _memory(use)
    return f"{binary_size(used)} / {binary_size(limit)}"


def _memory_share(use: Use, whole: bool) -> str:
    used, limit = _memory(use)
    return f"{used / limit * 100 if limit else 0:.2f}%"


def _network(use: Use, whole: bool) -> str:
    found = (use["stats"].get("networks") or {}).values()
    received, sent = (sum(t.get(name) or 0 for t in found) for name in ("rx_bytes", "tx_bytes"))
    return f"{human_size(received, 3)} / {human_size(sent, 3)}"


def _blocks(use: Use, whole: bool) -> str:
    found = (use["stats"].get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    read, written = (
        sum(e["value"] for e in found if str(e.get("op", ""))[:1].lower() == letter)
        for letter in "rw"
    )
    return f"{human_size(read, 3)} / {human_size(written, 3)}"


def _processes(use: Use, whole: bool) -> str:
    return str((use["stats"].get("pids_stats") or {}).get("current") or 0)


def _identifier(use: Use, whole: bool) -> str:
    identifier = str(use["stats"].get("id") or "")
    return identifier if whole else short_id(identifier)


def _name(use: Use, whole: bool) -> str:
    return str(use["stats"].get("name") or "").removeprefix("/") or _UNKNOWN


def _known(cell: Callable[[Use, bool], str], unknown: str = _UNKNOWN) -> Callable[[Use, bool], str]:
    """Return ``cell`` for what was told, ``unknown`` for what was not."""
    return lambda use, whole: cell(use, whole) if use["stats"] else unknown


LISTING = Listing(
    {
        "Container": ("CONTAINER", lambda use, whole: str(use["container"])),
        "Name": ("NAME", _known(_name)),
        "ID": ("CONTAINER ID", _known(_identifier, "")),
        "CPUPerc": ("CPU %", _known(_cpu)),
        "MemUsage": ("MEM USAGE / LIMIT", _known(_memory_use, "-- / --")),
        "MemPerc": ("MEM %", _known(_memory_share)),
        "NetIO": ("NET I/O", _known(_network)),
        "BlockIO": ("BLOCK I/O", _known(_blocks)),
        "PIDs": ("PIDS", _known(_processes)),
    },
    ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"),
)
