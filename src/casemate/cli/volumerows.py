"""What the API says about volumes in a list, as columns."""

from __future__ import annotations

from casemate.cli.containers import labels
from casemate.cli.listing import Listing
from casemate.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Volume = dict[str, Any]


def _links(item: Volume, whole: bool) -> str:
    usage = item.get("UsageData")
    return "N/A" if usage is None else str(usage.get("RefCount", 0))


def _size(item: Volume, whole: bool) -> str:
    usage = item.get("UsageData")
    return "N/A" if usage is None else human_size(usage.get("Size", 0))


LISTING = Listing(
    {
        "Driver": ("DRIVER", lambda item, whole: str(item.get("Driver") or "")),
        "Name": ("VOLUME NAME", lambda item, whole: str(item["Name"])),
        "Scope": ("SCOPE", lambda item, whole: str(item.get("Scope") or "")),
        "Mountpoint": ("MOUNTPOINT", lambda item, whole: str(item.get("Mountpoint") or "")),
        "Labels": ("LABELS", labels),
        "Links": ("LINKS", _links),
        "Size": ("SIZE", _size),
    },
    ("Driver", "Name"),
    quiet="Name",
)
