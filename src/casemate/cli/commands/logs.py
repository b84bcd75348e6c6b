"""``logs``: show what a container has written."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.frames import Demultiplexer
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.output import OUT, write
from casemate.cli.timestamps import for_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    container = session.engine.get(path_of("containers", arguments.rest[0], "json"))
    query = path_of(
        "containers",
        str(container["Id"]),
        "logs",
        details="1" if arguments.switch("details") else "",
        follow="1" if arguments.switch("follow") else "",
        since=for_query(arguments.text("since")),
        stderr="1",
        stdout="1",
        tail=arguments.text("tail"),
        timestamps="1" if arguments.switch("timestamps") else "",
        until=for_query(arguments.text("until")),
    )
    frames = None if container["Config"]["Tty"] else Demultiplexer()
    with session.engine.request("GET", query) as reply:
        for chunk in reply.chunks():
            if frames is None:
                write(OUT, chunk)
                continue
            for descriptor, piece in frames.feed(chunk):
                write(descriptor, piece)
    return 0


COMMAND = Command(
    "[OPTIONS] CONTAINER",
    _run,
    (
        Option("details", SWITCH, "Show extra details provided to logs"),
        Option("follow", SWITCH, "Follow log output", short="f"),
        Option(
            "since",
            "string",
            "Show logs since a time (2013-01-02T13:23:37Z) or for how long (42m)",
        ),
        Option(
            "tail",
            "string",
            "Number of lines to show from the end of the logs",
            short="n",
            default="all",
        ),
        Option("timestamps", SWITCH, "Show timestamps", short="t"),
        Option(
            "until",
            "string",
            "Show logs before a time (2013-01-02T13:23:37Z) or how long ago (42m)",
        ),
    ),
    least=1,
    most=1,
    examples=("casemate logs -f --tail 20 web",),
    suggest="containers",
    suggest_up_to=1,
)
