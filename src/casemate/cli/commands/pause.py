"""``pause``: let all processes of containers stand still."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.options import Command
from casemate.cli.several import at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.engine import Engine
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    def pause(engine: Engine, container: str) -> None:
        engine.post(path_of("containers", container, "pause"))

    return at_once(session, arguments.rest, pause)


COMMAND = Command(
    "CONTAINER [CONTAINER...]",
    _run,
    least=1,
    examples=("casemate pause web",),
    suggest="running",
)
