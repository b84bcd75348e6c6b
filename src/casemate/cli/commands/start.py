"""``start``: start stopped containers, perhaps with our streams."""

from __future__ import annotations

from casemate.cli.attaching import Attached
from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.output import err, out
from casemate.cli.waiting import Wait
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    if not arguments.switch("attach") and not arguments.switch("interactive"):
        return _start_all(session, arguments.rest)
    if len(arguments.rest) > 1:
        raise Exit(1, "you cannot start and attach multiple containers at once")
    return _start_attached(session, arguments)


def _start_all(session: Session, names: list[str]) -> int:
    failed = []
    for name in names:
        try:
            session.engine.post(path_of("containers", name, "start"))
        except Error as error:
            err(f"{error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
            failed.append(name)
        else:
            out(f"{name}\n")
    if failed:
        raise Exit(1, f"failed to start containers: {', '.join(failed)}")
    return 0


def _start_attached(session: Session, arguments: Arguments) -> int:
    engine = session.engine
    container = engine.get(path_of("containers", arguments.rest[0], "json"))
    identifier, config = str(container["Id"]), container["Config"]
    stdin = arguments.switch("interactive") and bool(config["OpenStdin"])
    attachment = Attached(
        session,
        f"containers/{identifier}",
        tty=config["Tty"],
        forwards=not config["Tty"],
        keys=arguments.text("detach-keys"),
    )
    removes = container["HostConfig"]["AutoRemove"]
    with attachment:
        attachment.connect_container(stdin=stdin)
        with Wait(engine, identifier, "removed" if removes else "next-exit") as wait:
            try:
                engine.post(path_of("containers", identifier, "start"))
            except Error:
                if removes:
                    wait.status()
                raise
            return wait.status() if attachment.copy(stdin=stdin) else 0


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    _run,
    (
        Option("attach", SWITCH, "Attach STDOUT/STDERR and forward signals", short="a"),
        Option("detach-keys", "string", "Override the key sequence for detaching a container"),
        Option("interactive", SWITCH, "Attach container's STDIN", short="i"),
    ),
    least=1,
    examples=("casemate start web", "casemate start -ai box"),
    suggest="stopped",
)
