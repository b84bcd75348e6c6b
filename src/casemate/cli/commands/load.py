"""``load``: images from a tar archive."""

from __future__ import annotations

from casemate.cli.archives import pieces
from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.output import OUT, is_terminal
from casemate.cli.progress import display

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    source = arguments.text("input")
    if not source and is_terminal(0):
        raise Exit(1, "requested load from stdin, but stdin is empty")
    query = path_of(
        "images",
        "load",
        quiet="1" if arguments.switch("quiet") or not is_terminal(OUT) else "0",
    )
    headers = {"Content-Type": "application/x-tar"}
    display(session.engine.documents("POST", query, pieces(source or "-"), headers), OUT)
    return 0


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (
        Option(
            "input",
            "string",
            "Read from a tar archive or an OCI layout, instead of STDIN",
            short="i",
            suggest="files",
        ),
        Option("quiet", SWITCH, "Suppress the load output", short="q"),
    ),
    most=0,
    examples=("casemate load -i images.tar", "casemate load -i layout/"),
)
