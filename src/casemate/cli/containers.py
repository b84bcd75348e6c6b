"""What the API says about a container in a list, as columns."""

from __future__ import annotations

from casemate.cli import timestamps
from casemate.cli.listing import Listing
from casemate.cli.table import shortened
from casemate.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Container = dict[str, Any]

_SHORT_ID = 12


def short_id(identifier: str) -> str:
    """Return the first twelve digits of an id, without its algorithm."""
    return identifier.partition(":")[2][:_SHORT_ID] if ":" in identifier else identifier[:_SHORT_ID]


def _identifier(item: Container, whole: bool) -> str:
    return str(item["Id"]) if whole else short_id(item["Id"])


def _names(item: Container, whole: bool) -> str:
    names = [name.removeprefix("/") for name in item.get("Names") or []]
    if not whole:
        names = next(([name] for name in names if "/" not in name), names)
    return ",".join(names)


def _image(item: Container, whole: bool) -> str:
    image = str(item.get("Image") or "")
    if not image:
        return "<no image>"
    if whole:
        return image
    shorter = short_id(item.get("ImageID") or "")
    if shorter and short_id(image) == shorter:
        return shorter
    name, at, _ = image.partition("@")
    return _familiar(name) if at else image


def _familiar(name: str) -> str:
    from casemate.cli.reference import parse
    from casemate.errors import InvalidArgument

    try:
        return parse(name).familiar
    except InvalidArgument:
        return name


def _command(item: Container, whole: bool) -> str:
    command = str(item.get("Command") or "")
    return _quoted(command if whole else shortened(command, 20))


def _quoted(text: str) -> str:
    """Return ``text`` in double quotes, as Go quotes it."""
    from casemate.cli.output import clean

    return '"' + clean(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _ports(item: Container, whole: bool) -> str:
    if not item.get("Ports"):
        return ""
    from casemate.cli.ports import displayed

    return displayed(item["Ports"])


def _size(item: Container, whole: bool) -> str:
    own = human_size(item.get("SizeRw") or 0, 3)
    total = item.get("SizeRootFs") or 0
    return f"{own} (virtual {human_size(total, 3)})" if total > 0 else own


def _mounts(item: Container, whole: bool) -> str:
    names = [m.get("Name") or m.get("Source") or "" for m in item.get("Mounts") or []]
    return ",".join(name if whole else shortened(name, 15) for name in names)


def _local_volumes(item: Container, whole: bool) -> str:
    return str(sum(m.get("Driver") == "local" for m in item.get("Mounts") or []))


def _networks(item: Container, whole: bool) -> str:
    settings = item.get("NetworkSettings") or {}
    return ",".join(settings.get("Networks") or {})


def labels(item: Container, whole: bool) -> str:
    """Return the labels of any object."""
    return ",".join(sorted(f"{k}={v}" for k, v in (item.get("Labels") or {}).items()))


LISTING = Listing(
    {
        "ID": ("CONTAINER ID", _identifier),
        "Image": ("IMAGE", _image),
        "Command": ("COMMAND", _command),
        "CreatedAt": ("CREATED AT", lambda item, whole: timestamps.local(item["Created"])),
        "RunningFor": ("CREATED", lambda item, whole: timestamps.ago(item["Created"])),
        "Status": ("STATUS", lambda item, whole: str(item.get("Status") or "")),
        "State": ("STATE", lambda item, whole: str(item.get("State") or "")),
        "Ports": ("PORTS", _ports),
        "Names": ("NAMES", _names),
        "Size": ("SIZE", _size),
        "Labels": ("LABELS", labels),
        "Mounts": ("MOUNTS", _mounts),
        "LocalVolumes": ("LOCAL VOLUMES", _local_volumes),
        "Networks": ("NETWORKS", _networks),
    },
    ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"),
)
WITH_SIZE = Listing(LISTING.columns, (*LISTING.usual, "Size"))
