"""``ps``: list containers."""

from __future__ import annotations

from casemate.cli import filtering
from casemate.cli.containers import LISTING, WITH_SIZE
from casemate.cli.engine import filters, path_of
from casemate.cli.listing import compiled
from casemate.cli.options import FORMAT, INT, SWITCH, Command, Option
from casemate.cli.output import err

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    form = arguments.text("format")
    quiet = arguments.switch("quiet")
    if form and quiet:
        err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n")
    form = form or session.config.text("psFormat")
    size = _wants_size(arguments, form, quiet)
    limit = arguments.number("last")
    if arguments.switch("latest") and limit == -1:
        limit = 1
    query = path_of(
        "containers",
        "json",
        all="1" if arguments.switch("all") else "",
        filters=filters(filtering.pairs(arguments)),
        limit=str(limit) if limit > 0 else "",
        size="1" if size else "",
    )
    containers = session.engine.get(query)
    listing = WITH_SIZE if size else LISTING
    whole = arguments.switch("no-trunc")
    listing.show(containers, "" if quiet else form, whole=whole, quiet=quiet)
    return 0


def _wants_size(arguments: Arguments, form: str, quiet: bool) -> bool:
    """Return whether to ask for sizes, which is slow: also when a template shows them."""
    if arguments.given("size") or quiet or form in ("", "table", "json"):
        return arguments.switch("size")
    return "Size" in compiled(form)[0].fields


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (
        Option("all", SWITCH, "Show all containers (default shows just running)", short="a"),
        filtering.FILTER,
        FORMAT,
        Option(
            "last",
            INT,
            "Show n last created containers (includes all states)",
            short="n",
            default=-1,
        ),
        Option(
            "latest", SWITCH, "Show the latest created container (includes all states)", short="l"
        ),
        Option("no-trunc", SWITCH, "Don't truncate output"),
        Option("quiet", SWITCH, "Only display container IDs", short="q"),
        Option("size", SWITCH, "Display total file sizes", short="s"),
    ),
    most=0,
    examples=(
        "casemate ps -a --filter status=exited",
        "casemate ps --format 'table {{.Names}}\\t{{.Status}}'",
    ),
)
