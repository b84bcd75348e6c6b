"""``group create``: make a group."""

from __future__ import annotations

from casemate.cli.body.budget import OPTIONS, budget
from casemate.cli.options import Command, Option
from casemate.cli.output import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    name = arguments.rest[0]
    body = {"Name": name, "Parent": arguments.text("parent"), **budget(arguments)}
    out(f"{session.extensions.post('/groups/create', body)['Name']}\n")
    return 0


COMMAND = Command(
    "[OPTIONS] GROUP",
    _run,
    (
        *OPTIONS,
        Option("parent", "string", "Group that the new one is a part of", suggest="groups"),
    ),
    least=1,
    most=1,
    about="Make a group: a named part of the machine. All that is inside, containers and\n"
    "groups at any depth, has no more than its budget together.",
    examples=(
        "casemate group create ci --memory 4g --cpus 2",
        "casemate group create build --parent ci --memory 1g",
        "casemate run --group build debian make",
    ),
)
