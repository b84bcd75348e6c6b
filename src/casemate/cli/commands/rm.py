"""``rm``: remove containers."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.several import at_once
from casemate.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.engine import Engine
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    force = arguments.switch("force")
    query = {
        "force": "1" if force else "",
        "link": "1" if arguments.switch("link") else "",
        "v": "1" if arguments.switch("volumes") else "",
    }

    def remove(engine: Engine, container: str) -> None:
        engine.call("DELETE", path_of("containers", container, **query))

    return at_once(session, arguments.rest, remove, tolerated=(NotFound,) if force else ())


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    _run,
    (
        Option("force", SWITCH, "Force the removal of a running container", short="f"),
        Option("link", SWITCH, "Remove the specified link", short="l"),
        Option(
            "volumes",
            SWITCH,
            "Remove anonymous volumes associated with the container",
            short="v",
        ),
    ),
    least=1,
    examples=("casemate rm web", "casemate rm -f $(casemate ps -aq)"),
    suggest="containers",
)
