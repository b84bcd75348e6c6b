"""The sums of /system/df, one row for each kind of object."""

from __future__ import annotations

from casemate.cli.listing import Listing
from casemate.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    #: A kind's name, how many there are and how many are in use, its bytes and those to be had.
    Kind = tuple[str, int, int, int, int]

_CACHE = "Build Cache"
_RUNNING = ("running", "paused", "restarting")


def kinds(usage: dict[str, Any]) -> list[Kind]:
    """Return the kinds of objects in docker's order."""
    images = usage.get("Images") or []
    containers = usage.get("Containers") or []
    volumes = [item | {"UsageData": item.get("UsageData") or {}} for item in _volumes(usage)]
    caches = usage.get("BuildCache") or []
    return [
        _images(images, usage.get("LayersSize") or 0),
        _kind(
            "Containers", [(c.get("SizeRw") or 0, c.get("State") in _RUNNING) for c in containers]
        ),
        _kind("Local Volumes", [_volume(item["UsageData"]) for item in volumes]),
        _kind(_CACHE, [(_own(record), bool(record.get("InUse"))) for record in caches]),
    ]


def _own(record: dict[str, Any]) -> int:
    """Return the bytes of a cache record that no image has as well."""
    return 0 if record.get("Shared") else record.get("Size") or 0


def _volumes(usage: dict[str, Any]) -> list[dict[str, Any]]:
    return usage.get("Volumes") or []


def _volume(data: dict[str, Any]) -> tuple[int, bool]:
    return max(data.get("Size", 0), 0), data.get("RefCount", 0) > 0


def _images(images: list[dict[str, Any]], total: int) -> Kind:
    """Sum images, which share layers: what only the ones in use have stays."""
    used = sum(
        max(image.get("Size", 0) - max(image.get("SharedSize", 0), 0), 0)
        for image in images
        if image.get("Containers", 0) != 0
    )
    active = sum(image.get("Containers", 0) > 0 for image in images)
    return "Images", len(images), active, total, total - used


def _kind(name: str, sizes: list[tuple[int, bool]]) -> Kind:
    """Sum objects of (bytes, whether it is in use)."""
    total = sum(size for size, _ in sizes)
    idle = sum(size for size, used in sizes if not used)
    return name, len(sizes), sum(used for _, used in sizes), total, idle


def _reclaimable(kind: Kind, whole: bool) -> str:
    total, idle = kind[3], kind[4]
    share = f" ({idle * 100 // total}%)" if total > 0 and kind[0] != _CACHE else ""
    return human_size(idle) + share


ROWS = Listing(
    {
        "Type": ("TYPE", lambda kind, whole: kind[0]),
        "TotalCount": ("TOTAL", lambda kind, whole: str(kind[1])),
        "Active": ("ACTIVE", lambda kind, whole: str(kind[2])),
        "Size": ("SIZE", lambda kind, whole: human_size(kind[3])),
        "Reclaimable": ("RECLAIMABLE", _reclaimable),
    },
    ("Type", "TotalCount", "Active", "Size", "Reclaimable"),
)
