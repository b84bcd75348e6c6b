"""What the API says about the records of the build cache, as columns."""

from __future__ import annotations

from casemate.cli import timestamps
from casemate.cli.containers import short_id
from casemate.cli.listing import Listing
from casemate.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]


def _identifier(item: Record, whole: bool) -> str:
    name = str(item["ID"]) if whole else short_id(item["ID"])
    return f"{name}*" if item.get("InUse") else name


def _since(item: Record, field: str) -> str:
    moment = item.get(field)
    return timestamps.ago(timestamps.parse(moment)) if moment else ""


def _flag(value: object) -> str:
    return "true" if value else "false"


LISTING = Listing(
    {
        "ID": ("CACHE ID", _identifier),
        "CacheType": ("CACHE TYPE", lambda item, whole: str(item.get("Type") or "")),
        "Size": ("SIZE", lambda item, whole: human_size(item.get("Size") or 0, 3)),
        "CreatedSince": ("CREATED", lambda item, whole: _since(item, "CreatedAt")),
        "LastUsedSince": ("LAST USED", lambda item, whole: _since(item, "LastUsedAt")),
        "UsageCount": ("USAGE", lambda item, whole: str(item.get("UsageCount") or 0)),
        "Shared": ("SHARED", lambda item, whole: _flag(item.get("Shared"))),
    },
    ("ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"),
)
