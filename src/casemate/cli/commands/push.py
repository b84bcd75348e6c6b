"""``push``: upload an image."""

from __future__ import annotations

from casemate.cli import jsontext
from casemate.cli.authentication import header
from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import PLATFORM, SWITCH, Command, Option
from casemate.cli.output import OUT, out
from casemate.cli.platforms import document
from casemate.cli.progress import display
from casemate.cli.reference import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    image = parse(arguments.rest[0])
    quiet = arguments.switch("quiet")
    asked = arguments.text("platform")
    if arguments.switch("all-tags"):
        if image.version:
            raise Exit(1, "tag can't be used with --all-tags/-a")
    elif not image.version:
        image.tag = "latest"
        if not quiet:
            out("Using default tag: latest\n")
    query = path_of(
        "images",
        image.name,
        "push",
        platform=jsontext.dumps(document(asked)) if asked else "",
        tag=image.tag,
    )
    headers = {"X-Registry-Auth": header(session.config, image.domain)}
    display(session.engine.documents("POST", query, headers=headers), -1 if quiet else OUT)
    if quiet:
        out(f"{image}\n")
    return 0


COMMAND = Command(
    "[OPTIONS] NAME[:TAG]",
    _run,
    (
        Option("all-tags", SWITCH, "Push all tags of an image to the repository", short="a"),
        Option("disable-content-trust", SWITCH, "Skip image signing", default=True, hidden=True),
        PLATFORM,
        Option("quiet", SWITCH, "Suppress verbose output", short="q"),
    ),
    least=1,
    most=1,
    examples=("casemate push registry.lan:5000/tools:1",),
    suggest="images",
    suggest_up_to=1,
)
