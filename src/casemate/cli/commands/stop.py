"""``stop``: ask containers to end, and kill those that do not in time."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import INT, Command, Option
from casemate.cli.several import at_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.engine import Engine
    from casemate.cli.session import Session


OPTIONS = (
    Option("signal", "string", "Signal to send to the container", short="s", suggest="signals"),
    Option("timeout", INT, "Seconds to wait before killing the container", short="t"),
    Option("time", INT, "Seconds to wait before killing", hidden=True, replaced_by="timeout"),
)


def query(arguments: Arguments) -> dict[str, str]:
    """Return how a container is asked to end, as the API takes it. Raises Exit."""
    if arguments.given("time") and arguments.given("timeout"):
        raise Exit(1, "conflicting options: cannot specify both --timeout and --time")
    name = "time" if arguments.given("time") else "timeout"
    seconds = str(arguments.number(name)) if arguments.given(name) else ""
    return {"signal": arguments.text("signal"), "t": seconds}


def _run(session: Session, arguments: Arguments) -> int:
    asked = query(arguments)

    def stop(engine: Engine, container: str) -> None:
        engine.post(path_of("containers", container, "stop", **asked))

    return at_once(session, arguments.rest, stop)


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    _run,
    OPTIONS,
    least=1,
    examples=("casemate stop -t 2 web",),
    suggest="running",
)
