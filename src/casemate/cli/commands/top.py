"""``top``: the processes of a container."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.options import Command
from casemate.cli.output import clean, out
from casemate.cli.table import aligned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_MIN_WIDTH = 20


def _run(session: Session, arguments: Arguments) -> int:
    container, *options = arguments.rest
    path = path_of("containers", container, "top", ps_args=" ".join(options))
    found = session.engine.get(path)
    lines = [found["Titles"], *(found["Processes"] or ())]
    out(aligned([[clean(cell) for cell in line] for line in lines], _MIN_WIDTH))
    return 0


COMMAND = Command(
    "CONTAINER [ps OPTIONS]",
    _run,
    least=1,
    mixed=False,
    examples=("casemate top web", "casemate top web -o pid,rss,args"),
    suggest="containers",
    suggest_up_to=1,
)
