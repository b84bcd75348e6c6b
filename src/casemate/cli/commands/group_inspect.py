"""``group inspect``: details of groups."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.inspecting import inspect
from casemate.cli.options import FORMAT_ONE, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    def fetch(name: str) -> Any:
        return session.extensions.get(path_of("groups", name))

    return inspect(arguments.rest, arguments.text("format"), fetch)


COMMAND = Command(
    "[OPTIONS] GROUP [GROUP...]",
    _run,
    (FORMAT_ONE,),
    least=1,
    examples=("casemate group inspect ci",),
    suggest="groups",
)
