"""``images``: list images."""

from __future__ import annotations

from casemate.cli import filtering
from casemate.cli.engine import filters, path_of
from casemate.cli.imagerows import LISTING, WITH_DIGESTS, rows
from casemate.cli.options import FORMAT, SWITCH, Command, Option
from casemate.cli.output import err

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_VERBS = ("history", "import", "inspect", "list", "load", "ls", "prune", "pull", "push", "rm",
          "save", "tag")  # fmt: skip


def _run(session: Session, arguments: Arguments) -> int:
    chosen = filtering.pairs(arguments) + [("reference", name) for name in arguments.rest]
    query = path_of(
        "images",
        "json",
        all="1" if arguments.switch("all") else "",
        filters=filters(chosen),
    )
    images = session.engine.get(query)
    quiet = arguments.switch("quiet")
    form = arguments.text("format") or ("" if quiet else session.config.text("imagesFormat"))
    digests = arguments.switch("digests")
    listing = WITH_DIGESTS if digests else LISTING
    items = rows(images, digests or "Digest" in form, digests)
    listing.show(items, form, whole=arguments.switch("no-trunc"), quiet=quiet)
    if not images and session.path == "images" and arguments.rest and arguments.rest[0] in _VERBS:
        verb = arguments.rest[0]
        err(f'\nNo images found matching "{verb}": did you mean "casemate image {verb}"?\n')
    return 0


COMMAND = Command(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    _run,
    (
        Option("all", SWITCH, "Show all images (default hides intermediate images)", short="a"),
        Option("digests", SWITCH, "Show digests"),
        filtering.FILTER,
        FORMAT,
        Option("no-trunc", SWITCH, "Don't truncate output"),
        Option("quiet", SWITCH, "Only show image IDs", short="q"),
    ),
    most=1,
    examples=("casemate images 'debian:*'", "casemate images --filter dangling=true -q"),
    suggest="images",
    suggest_up_to=1,
)
