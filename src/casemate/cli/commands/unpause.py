"""``unpause``: let all processes of containers go on."""

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
    def unpause(engine: Engine, container: str) -> None:
        engine.post(path_of("containers", container, "unpause"))

    return at_once(session, arguments.rest, unpause)


COMMAND = Command(
    "CONTAINER [CONTAINER...]",
    _run,
    least=1,
    examples=("casemate unpause web",),
    suggest="paused",
)
