"""``attach``: connect our streams to a running container."""

from __future__ import annotations

from casemate.cli.attaching import Attached, check_terminal
from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.output import OUT, is_terminal
from casemate.cli.waiting import Wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.engine import Engine
    from casemate.cli.session import Session

_REFUSED = (
    ("Paused", "paused container, unpause it first"),
    ("Restarting", "restarting container, wait until it is running"),
)


def _run(session: Session, arguments: Arguments) -> int:
    engine = session.engine
    container = _running(engine, arguments.rest[0])
    identifier, config = str(container["Id"]), container["Config"]
    check_terminal(not arguments.switch("no-stdin"), config["Tty"])
    stdin = not arguments.switch("no-stdin") and bool(config["OpenStdin"])
    attachment = Attached(
        session,
        f"containers/{identifier}",
        tty=config["Tty"],
        forwards=arguments.switch("sig-proxy") and not config["Tty"],
        keys=arguments.text("detach-keys"),
    )
    with attachment, Wait(engine, identifier, "") as wait:
        attachment.connect_container(stdin=stdin)
        # It may have ended before we were connected: then nothing would ever come.
        _running(engine, identifier)
        if config["Tty"] and is_terminal(OUT):
            # A shell shows its prompt again only when the size of its window changes.
            attachment.resize(more=1)
        if not attachment.copy(stdin=stdin):
            raise Exit(1, "read escape sequence")
        return wait.status()


def _running(engine: Engine, name: str) -> dict[str, Any]:
    """Return the container. Raises Exit when it cannot be attached to."""
    container: dict[str, Any] = engine.get(path_of("containers", name, "json"))
    if not container["State"]["Running"]:
        raise Exit(1, "You cannot attach to a stopped container, start it first")
    for state, what in _REFUSED:
        if container["State"].get(state):
            raise Exit(1, f"You cannot attach to a {what}")
    return container


COMMAND = Command(
    "[OPTIONS] CONTAINER",
    _run,
    (
        Option("detach-keys", "string", "Override the key sequence for detaching a container"),
        Option("no-stdin", SWITCH, "Do not attach STDIN"),
        Option("sig-proxy", SWITCH, "Proxy all received signals to the process", default=True),
    ),
    least=1,
    most=1,
    examples=("casemate attach box",),
    suggest="running",
    suggest_up_to=1,
)
