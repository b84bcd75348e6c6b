"""``network inspect``: details of networks."""

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
    verbose = "true" if arguments.switch("verbose") else ""

    def fetch(name: str) -> Any:
        return session.engine.get(path_of("networks", name, verbose=verbose))

    return inspect(arguments.rest, arguments.text("format"), fetch)


COMMAND = Command(
    "[OPTIONS] NETWORK [NETWORK...]",
    _run,
    (
        FORMAT_ONE,
        Option("verbose", SWITCH, "Verbose output for diagnostics", short="v"),
    ),
    least=1,
    examples=("casemate network inspect bridge",),
    suggest="networks",
)
