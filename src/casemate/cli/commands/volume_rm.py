"""``volume rm``: remove volumes."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.several import in_turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    force = "1" if arguments.switch("force") else ""

    def remove(name: str) -> None:
        session.engine.call("DELETE", path_of("volumes", name, force=force))

    return in_turn(arguments.rest, remove)


COMMAND = Command(
    "[OPTIONS] VOLUME [VOLUME...]",
    _run,
    (Option("force", SWITCH, "Force the removal of one or more volumes", short="f"),),
    least=1,
    about="Remove one or more volumes. A volume that a container uses cannot be removed.",
    examples=("casemate volume rm data",),
    suggest="volumes",
)
