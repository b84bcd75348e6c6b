"""``diff``: what a container has changed in its file system."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.options import Command
from casemate.cli.output import clean, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_KINDS = "CAD"


def _run(session: Session, arguments: Arguments) -> int:
    changes = session.engine.get(path_of("containers", arguments.rest[0], "changes")) or []
    out("".join(f"{_KINDS[change['Kind']]} {clean(change['Path'])}\n" for change in changes))
    return 0


COMMAND = Command(
    "CONTAINER",
    _run,
    least=1,
    most=1,
    about="Inspect changes to files or directories on a container's filesystem:"
    " A added, C changed, D deleted",
    examples=("casemate diff box",),
    suggest="containers",
    suggest_up_to=1,
)
