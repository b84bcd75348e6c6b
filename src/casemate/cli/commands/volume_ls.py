"""``volume ls``: list volumes."""

from __future__ import annotations

from casemate.cli import filtering
from casemate.cli.engine import filters, path_of
from casemate.cli.listing import naturally
from casemate.cli.options import FORMAT, SWITCH, Command, Option
from casemate.cli.volumerows import LISTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    query = path_of("volumes", filters=filters(filtering.pairs(arguments)))
    found = session.engine.get(query).get("Volumes") or []
    quiet = arguments.switch("quiet")
    form = arguments.text("format") or ("" if quiet else session.config.text("volumesFormat"))
    LISTING.show(sorted(found, key=lambda item: naturally(item["Name"])), form, quiet=quiet)
    return 0


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (
        filtering.FILTER,
        FORMAT,
        Option("quiet", SWITCH, "Only display volume names", short="q"),
    ),
    most=0,
    examples=("casemate volume ls --filter dangling=true",),
)
