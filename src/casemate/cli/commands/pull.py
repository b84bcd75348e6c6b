"""``pull``: download an image."""

from __future__ import annotations

from casemate.cli.creation import platform_of
from casemate.cli.failure import Exit
from casemate.cli.options import PLATFORM, SWITCH, Command, Option
from casemate.cli.output import OUT, out
from casemate.cli.pulling import pull
from casemate.cli.reference import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    image = parse(arguments.rest[0])
    quiet = arguments.switch("quiet")
    if arguments.switch("all-tags"):
        if image.version:
            raise Exit(1, "tag can't be used with --all-tags/-a")
    elif not image.version:
        image.tag = "latest"
        if not quiet:
            out("Using default tag: latest\n")
    pull(session, image, platform_of(arguments), -1 if quiet else OUT)
    out(f"{image}\n")
    return 0


COMMAND = Command(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    _run,
    (
        Option("all-tags", SWITCH, "Download all tagged images in the repository", short="a"),
        Option(
            "disable-content-trust", SWITCH, "Skip image verification", default=True, hidden=True
        ),
        PLATFORM,
        Option("quiet", SWITCH, "Suppress verbose output", short="q"),
    ),
    least=1,
    most=1,
    examples=("casemate pull debian:bookworm",),
)
