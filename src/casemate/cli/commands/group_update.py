"""``group update``: change budgets, also while containers run."""

from __future__ import annotations

from casemate.cli.body.budget import OPTIONS, budget
from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import Command
from casemate.cli.several import in_turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    body = budget(arguments)
    if not body:
        raise Exit(1, "you must provide one or more flags when using this command")

    def update(group: str) -> None:
        session.extensions.post(path_of("groups", group, "update"), body)

    return in_turn(arguments.rest, update)


COMMAND = Command(
    "[OPTIONS] GROUP [GROUP...]",
    _run,
    OPTIONS,
    least=1,
    about="Change the budget of one or more groups, also while containers run inside.\n"
    "What is not given stays; 0, or an empty list, lifts a limit.",
    examples=("casemate group update --memory 8g ci", 'casemate group update --cpuset-cpus "" ci'),
    suggest="groups",
)
