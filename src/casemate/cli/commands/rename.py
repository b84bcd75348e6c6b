"""``rename``: give a container another name."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import Command
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    old, new = arguments.rest
    try:
        session.engine.post(path_of("containers", old, "rename", name=new))
    except Error as error:
        raise Exit(1, f"failed to rename container: {error}", hint=error.hint) from None
    return 0


COMMAND = Command(
    "CONTAINER NEW_NAME",
    _run,
    least=2,
    most=2,
    examples=("casemate rename web web-old",),
    suggest="containers",
    suggest_up_to=1,
)
