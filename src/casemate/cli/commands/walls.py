"""``walls``: show how the walls of a container are set, and what the kernel says of them."""

from __future__ import annotations

from casemate.cli import jsontext
from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import Command, Option
from casemate.cli.output import clean, out
from casemate.cli.table import aligned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

#: The setting comes last: it may be long, and the last column is not filled up.
_HEADERS = ["WALL", "FROM", "KERNEL", "HOLDS", "SETTING"]
_HOLDS = {True: "yes", False: "NO", None: "-"}


def _run(session: Session, arguments: Arguments) -> int:
    form = arguments.text("format")
    if form not in ("", "json"):
        raise Exit(1, f"unknown format {form!r}: walls prints a table, or JSON with --format json")
    path = path_of("containers", arguments.rest[0], "walls")
    answer = session.extensions.get(path)
    if form == "json":
        out(jsontext.dumps(answer) + "\n")
    else:
        out(aligned([_HEADERS, *map(_line, answer["Walls"])]))
    return 1 if any(wall["Holds"] is False for wall in answer["Walls"]) else 0


def _line(wall: dict[str, Any]) -> list[str]:
    cells = (wall["Name"], wall["From"], wall["Kernel"], _HOLDS[wall["Holds"]], wall["Setting"])
    return [clean(cell) for cell in cells]


COMMAND = Command(
    "[OPTIONS] CONTAINER",
    _run,
    (Option("format", "string", "'json': the walls as one JSON document"),),
    least=1,
    most=1,
    about="Show each wall of a running container: how it is set, whether its isolation profile\n"
    "or an option has set it, and what the kernel says of it now. Ends with 1 when one does\n"
    "not hold.",
    examples=("casemate walls web",),
    suggest="running",
)
