"""``exec``: run one more command in a running container."""

from __future__ import annotations

from casemate.cli.attaching import Attached, check_terminal
from casemate.cli.body.environment import environment
from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import LIST, SWITCH, Command, Option
from casemate.cli.output import terminal_size
from casemate.cli.startfailure import status_of
from casemate.errors import Error, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    detach = arguments.switch("detach")
    stdin = arguments.switch("interactive") and not detach
    tty = arguments.switch("tty")
    if not detach:
        check_terminal(stdin, tty)
    keys = arguments.text("detach-keys") or session.config.text("detachKeys")
    name, *command = arguments.rest
    body = {
        "User": arguments.text("user"),
        "Privileged": arguments.switch("privileged"),
        "Tty": tty,
        "AttachStdin": stdin,
        "AttachStderr": not detach,
        "AttachStdout": not detach,
        "Detach": detach,
        "DetachKeys": keys,
        "Env": environment(arguments, {}) or None,
        "WorkingDir": arguments.text("workdir"),
        "Cmd": command,
    }
    size = {"ConsoleSize": list(terminal_size())} if tty else {}
    created = session.engine.post(path_of("containers", name, "exec"), body | size)
    identifier = str(created["Id"])
    start = {"Detach": detach, "Tty": tty} | size
    try:
        if detach:
            session.engine.post(path_of("exec", identifier, "start"), start)
            return 0
        return _attached(session, identifier, start, stdin, keys)
    except Exit:
        raise
    except Error as error:
        status = status_of(error)
        raise Exit(1 if status == 125 else status, str(error), hint=error.hint) from None


def _attached(
    session: Session, identifier: str, start: dict[str, Any], stdin: bool, keys: str
) -> int:
    attachment = Attached(
        session, f"exec/{identifier}", tty=start["Tty"], forwards=False, keys=keys
    )
    with attachment:
        attachment.connect(path_of("exec", identifier, "start"), start)
        if not attachment.copy(stdin=stdin):
            raise Exit(1, "read escape sequence")
    try:
        return int(session.engine.get(path_of("exec", identifier, "json"))["ExitCode"] or 0)
    except Unavailable as error:
        raise Exit(255, str(error)) from None


COMMAND = Command(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    _run,
    (
        Option("detach", SWITCH, "Run the command in the background", short="d"),
        Option("detach-keys", "string", "Override the key sequence for detaching a container"),
        Option("env", LIST, "Set environment variables", short="e", suggest="environment"),
        Option("env-file", LIST, "Read in a file of environment variables", suggest="files"),
        Option("interactive", SWITCH, "Keep STDIN open even if not attached", short="i"),
        Option("privileged", SWITCH, "Give extended privileges to the command"),
        Option("tty", SWITCH, "Allocate a pseudo-TTY", short="t"),
        Option("user", "string", "User name or UID (format: <name|uid>[:<group|gid>])", short="u"),
        Option("workdir", "string", "Working directory inside the container", short="w"),
    ),
    least=2,
    mixed=False,
    examples=("casemate exec -it web sh", "casemate exec -e DEBUG=1 web env"),
    suggest="running",
    suggest_up_to=1,
)
