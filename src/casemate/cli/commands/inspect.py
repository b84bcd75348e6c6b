"""``inspect``: details of objects of any kind."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.inspecting import inspect, warn_size
from casemate.cli.options import FORMAT_ONE, SWITCH, Command, Option
from casemate.errors import InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

#: In the order in which a name is looked for: kind → (collection, behind the name).
_KINDS = {
    "container": ("containers", ("json",)),
    "image": ("images", ("json",)),
    "network": ("networks", ()),
    "volume": ("volumes", ()),
}


def _run(session: Session, arguments: Arguments) -> int:
    kind = arguments.text("type")
    if arguments.given("type") and kind not in _KINDS:
        names = '", "'.join(_KINDS)
        what = f'unknown type: "{kind}"' if kind else "type is empty"
        raise Exit(1, f'{what}: must be one of "{names}"')
    size = arguments.switch("size")

    def fetch(name: str) -> Any:
        if kind:
            return _fetch(session, kind, name, size)
        for candidate in _KINDS:
            try:
                return _fetch(session, candidate, name, size)
            except NotFound:
                continue
            except InvalidArgument:
                if candidate != "image":  # a name that no image can have
                    raise
        raise NotFound(f"Error: No such object: {name}")

    return inspect(arguments.rest, arguments.text("format"), fetch)


def _fetch(session: Session, kind: str, name: str, size: bool) -> Any:
    collection, behind = _KINDS[kind]
    with_size = "1" if size and kind == "container" else ""
    document = session.engine.get(path_of(collection, name, *behind, size=with_size))
    if size and kind != "container":
        warn_size(kind)
    return document


COMMAND = Command(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    _run,
    (
        FORMAT_ONE,
        Option("size", SWITCH, "Display total file sizes of containers", short="s"),
        Option(
            "type",
            "string",
            "Only inspect objects of the given type",
            suggest="container image network volume",
        ),
    ),
    least=1,
    examples=("casemate inspect -f '{{.State.Status}}' web",),
    suggest="objects",
)
