"""``network ls``: list networks."""

from __future__ import annotations

from casemate.cli import filtering
from casemate.cli.containers import labels, short_id
from casemate.cli.engine import filters, path_of
from casemate.cli.listing import Listing, naturally
from casemate.cli.options import FORMAT, SWITCH, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    query = path_of("networks", filters=filters(filtering.pairs(arguments)))
    networks = sorted(session.engine.get(query), key=lambda item: naturally(item["Name"]))
    quiet = arguments.switch("quiet")
    form = arguments.text("format") or ("" if quiet else session.config.text("networksFormat"))
    _LISTING.show(networks, form, whole=arguments.switch("no-trunc"), quiet=quiet)
    return 0


def _flag(value: object) -> str:
    return "true" if value else "false"


_LISTING = Listing(
    {
        "ID": ("NETWORK ID", lambda item, whole: item["Id"] if whole else short_id(item["Id"])),
        "Name": ("NAME", lambda item, whole: str(item["Name"])),
        "Driver": ("DRIVER", lambda item, whole: str(item.get("Driver") or "")),
        "Scope": ("SCOPE", lambda item, whole: str(item.get("Scope") or "")),
        "IPv4": ("IPV4", lambda item, whole: _flag(item.get("EnableIPv4", True))),
        "IPv6": ("IPV6", lambda item, whole: _flag(item.get("EnableIPv6"))),
        "Internal": ("INTERNAL", lambda item, whole: _flag(item.get("Internal"))),
        "Labels": ("LABELS", labels),
        "CreatedAt": ("CREATED AT", lambda item, whole: str(item.get("Created") or "")),
    },
    ("ID", "Name", "Driver", "Scope"),
)

COMMAND = Command(
    "[OPTIONS]",
    _run,
    (
        filtering.FILTER,
        FORMAT,
        Option("no-trunc", SWITCH, "Do not truncate the output"),
        Option("quiet", SWITCH, "Only display network IDs", short="q"),
    ),
    most=0,
    examples=("casemate network ls --filter driver=bridge",),
)
