"""``kill``: send a signal to containers."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.options import Command, Option
from casemate.cli.several import at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.engine import Engine
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    signal = arguments.text("signal")

    def kill(engine: Engine, container: str) -> None:
        engine.post(path_of("containers", container, "kill", signal=signal))

    return at_once(session, arguments.rest, kill)


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    _run,
    (
        Option(
            "signal",
            "string",
            "Signal to send to the container (KILL without it)",
            short="s",
            suggest="signals",
        ),
    ),
    least=1,
    examples=("casemate kill -s HUP web",),
    suggest="running",
)
