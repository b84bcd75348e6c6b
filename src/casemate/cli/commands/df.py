"""``df``: what is stored, and how much of it nobody uses."""

from __future__ import annotations

from casemate.cli import cacherows, containers, imagerows, volumerows
from casemate.cli.diskusage import ROWS, kinds
from casemate.cli.failure import Exit
from casemate.cli.listing import Listing
from casemate.cli.options import FORMAT, SWITCH, Command, Option
from casemate.cli.output import out
from casemate.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    usage = session.engine.get("/system/df")
    form = arguments.text("format")
    if not arguments.switch("verbose"):
        ROWS.show(kinds(usage), form)
        return 0
    if form not in ("", "table"):
        raise Exit(1, "--verbose prints tables only: use it without --format")
    _show_all(usage)
    return 0


def _show_all(usage: dict[str, Any]) -> None:
    out("Images space usage:\n\n")
    usual = (*imagerows.LISTING.usual[:4], "Size", "SharedSize", "UniqueSize", "Containers")
    # An image is counted once, by its first name.
    firsts = [
        image | {"RepoTags": (image.get("RepoTags") or [])[:1], "RepoDigests": []}
        for image in usage.get("Images") or []
    ]
    Listing(imagerows.LISTING.columns, usual).show(imagerows.rows(firsts, False, False))
    out("\nContainers space usage:\n\n")
    usual = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    found = [item | {"SizeRootFs": 0} for item in usage.get("Containers") or []]
    Listing(containers.LISTING.columns, usual).show(found)
    out("\nLocal Volumes space usage:\n\n")
    usual = ("Name", "Links", "Size")
    Listing(volumerows.LISTING.columns, usual).show(usage.get("Volumes") or [])
    caches = usage.get("BuildCache") or []
    own = sum(item.get("Size") or 0 for item in caches if not item.get("Shared"))
    out(f"\nBuild cache usage: {human_size(own)}\n\n")
    cacherows.LISTING.show(sorted(caches, key=lambda c: (c.get("LastUsedAt") or "", c["ID"])))


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (FORMAT, Option("verbose", SWITCH, "Show detailed information on space usage", short="v")),
    most=0,
    examples=("casemate df -v",),
)
