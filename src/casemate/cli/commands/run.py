"""``run``: create a container, connect to it, start it, and end as it ends."""

from __future__ import annotations

from casemate.cli import creation
from casemate.cli.attaching import Attached, check_terminal
from casemate.cli.create_options import CREATE_OPTIONS
from casemate.cli.engine import path_of
from casemate.cli.failure import BadUsage, Exit
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.output import out
from casemate.cli.startfailure import explained
from casemate.cli.waiting import Wait
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    try:
        body = creation.body_of(session, arguments)
    except (BadUsage, Exit):
        raise
    except Error as error:
        raise explained(error, "run", status=125) from None
    if arguments.switch("detach"):
        if arguments.given("attach"):
            raise Exit(1, "conflicting options: cannot specify both --attach and --detach")
        body |= dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "StdinOnce"), False)
    else:
        check_terminal(body["AttachStdin"], body["Tty"])
    try:
        identifier = creation.create(session, arguments, body)
    except Exit:
        raise
    except Error as error:
        raise explained(error, "run") from None
    if body["AttachStdin"] or body["AttachStdout"] or body["AttachStderr"]:
        return _attached(session, arguments, body, identifier)
    _start(session, identifier)
    out(f"{identifier}\n")
    return 0


def _attached(session: Session, arguments: Arguments, body: dict[str, Any], identifier: str) -> int:
    stdin, listens = body["AttachStdin"], body["AttachStdout"] or body["AttachStderr"]
    attachment = Attached(
        session,
        f"containers/{identifier}",
        tty=body["Tty"],
        forwards=arguments.switch("sig-proxy"),
        keys=arguments.text("detach-keys"),
    )
    removes = body["HostConfig"]["AutoRemove"]
    with attachment:
        attachment.connect_container(
            stdin=stdin, stdout=body["AttachStdout"], stderr=body["AttachStderr"]
        )
        with Wait(session.engine, identifier, "removed" if removes else "next-exit") as wait:
            try:
                _start(session, identifier)
            except Exit:
                if removes:
                    wait.status()
                raise
            ended = attachment.copy(stdin=stdin, listens=listens, until=wait.descriptor)
            return wait.status() if ended else 0


def _start(session: Session, identifier: str) -> None:
    try:
        session.engine.post(path_of("containers", identifier, "start"))
    except Error as error:
        raise explained(error, "run") from None


COMMAND = Command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    _run,
    (
        *CREATE_OPTIONS,
        Option("detach", SWITCH, "Run in the background and print the container ID", short="d"),
        Option("detach-keys", "string", "Override the key sequence for detaching a container"),
        Option("sig-proxy", SWITCH, "Proxy received signals to the process", default=True),
    ),
    least=1,
    mixed=False,
    examples=(
        "casemate run --rm -it debian bash",
        "casemate run -d --name web -p 8080:80 nginx",
        "casemate run --isolation sandbox --rm debian id",
    ),
    suggest="images",
    suggest_up_to=1,
)
