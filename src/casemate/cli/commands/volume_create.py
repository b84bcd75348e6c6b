"""``volume create``: make a volume."""

from __future__ import annotations

from casemate.cli.body.environment import labels, pairs
from casemate.cli.failure import Exit
from casemate.cli.options import LIST, Command, Option
from casemate.cli.output import out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    name = arguments.text("name")
    if arguments.rest:
        if name:
            raise Exit(
                1,
                "conflicting options: cannot specify a volume-name through both --name and as a"
                " positional arg",
            )
        name = arguments.rest[0]
    body: dict[str, Any] = {
        "Driver": arguments.text("driver"),
        "DriverOpts": pairs(arguments.items("opt")),
        "Labels": labels(arguments, ""),
        "Name": name,
    }
    given = {key: value for key, value in body.items() if value}
    out(f"{session.engine.post('/volumes/create', given)['Name']}\n")
    return 0


COMMAND = Command(
    "[OPTIONS] [VOLUME]",
    _run,
    (
        Option("driver", "string", "Specify volume driver name", short="d", default="local"),
        Option("label", LIST, "Set metadata for a volume"),
        Option("name", "string", "Specify volume name", hidden=True),
        Option("opt", "map", "Set driver specific options", short="o"),
    ),
    most=1,
    examples=("casemate volume create --label app=web data",),
)
