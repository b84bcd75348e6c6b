"""``image inspect``: details of images."""

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
        return session.engine.get(path_of("images", name, "json"))

    return inspect(arguments.rest, arguments.text("format"), fetch)


COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    _run,
    (FORMAT_ONE,),
    least=1,
    examples=("casemate image inspect -f '{{json .Config.Env}}' debian",),
    suggest="images",
)
