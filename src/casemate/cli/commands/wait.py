"""``wait``: block until containers end, and print their exit statuses."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.failure import joined
from casemate.cli.options import Command
from casemate.cli.output import out
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    errors: list[Error] = []
    for name in arguments.rest:
        try:
            answer = session.engine.post(path_of("containers", name, "wait"))
            out(f"{answer['StatusCode']}\n")
        except Error as error:
            errors.append(error)
    if errors:
        raise joined(errors)
    return 0


COMMAND = Command(
    "CONTAINER [CONTAINER...]",
    _run,
    least=1,
    examples=("casemate wait web",),
    suggest="running",
)
