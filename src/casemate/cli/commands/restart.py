"""``restart``: stop containers and start them again."""

from __future__ import annotations

from casemate.cli.commands.stop import OPTIONS, query
from casemate.cli.engine import path_of
from casemate.cli.options import Command
from casemate.cli.several import in_turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    asked = query(arguments)

    def restart(container: str) -> None:
        session.engine.post(path_of("containers", container, "restart", **asked))

    return in_turn(arguments.rest, restart)


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    _run,
    OPTIONS,
    least=1,
    examples=("casemate restart -t 2 web",),
    suggest="containers",
)
