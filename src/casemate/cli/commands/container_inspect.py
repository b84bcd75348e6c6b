"""``container inspect``: details of containers."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.inspecting import inspect
from casemate.cli.options import FORMAT_ONE, SWITCH, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    size = "1" if arguments.switch("size") else ""

    def fetch(name: str) -> Any:
        return session.engine.get(path_of("containers", name, "json", size=size))

    return inspect(arguments.rest, arguments.text("format"), fetch)


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    _run,
    (
        FORMAT_ONE,
        Option("size", SWITCH, "Display total file sizes", short="s"),
    ),
    least=1,
    examples=("casemate container inspect -f '{{.NetworkSettings.IPAddress}}' web",),
    suggest="containers",
)
