"""``export``: a container's file system as a tar archive."""

from __future__ import annotations

from casemate.cli.archives import OUTPUT, fetch
from casemate.cli.engine import path_of
from casemate.cli.options import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    return fetch(session, arguments, path_of("containers", arguments.rest[0], "export"))


COMMAND = Command(
    "[OPTIONS] CONTAINER",
    _run,
    (OUTPUT,),
    least=1,
    most=1,
    examples=("casemate export -o box.tar box",),
    suggest="containers",
    suggest_up_to=1,
)
