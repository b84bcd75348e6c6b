"""``group rm``: remove groups."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.options import Command
from casemate.cli.several import in_turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    engine = session.extensions
    return in_turn(arguments.rest, lambda name: engine.call("DELETE", path_of("groups", name)))


COMMAND = Command(
    "GROUP [GROUP...]",
    _run,
    least=1,
    about="Remove one or more groups. One that has a container inside, also one that does not\n"
    "run, or another group, is not removed.",
    examples=("casemate group rm build ci",),
    suggest="groups",
)
