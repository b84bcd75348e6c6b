"""``rmi``: remove images, or only their names."""

from __future__ import annotations

from casemate.cli.engine import path_of
from casemate.cli.failure import joined
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.output import clean, err, out
from casemate.errors import Error, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    force = arguments.switch("force")
    errors: list[Error] = []
    for name in arguments.rest:
        query = path_of(
            "images",
            name,
            force="1" if force else "",
            noprune="1" if arguments.switch("no-prune") else "",
        )
        try:
            for done in session.engine.call("DELETE", query) or []:
                verb = "Deleted" if done.get("Deleted") else "Untagged"
                out(f"{verb}: {clean(str(done.get(verb)))}\n")
        except Error as error:
            errors.append(error)
    if not errors:
        return 0
    if force and all(isinstance(error, NotFound) for error in errors):
        err("".join(f"{error}\n" for error in errors))
        return 0
    raise joined(errors)


COMMAND = Command(
    "[OPTIONS] IMAGE [IMAGE...]",
    _run,
    (
        Option("force", SWITCH, "Force removal of the image", short="f"),
        Option("no-prune", SWITCH, "Do not delete untagged parents"),
    ),
    least=1,
    examples=("casemate rmi tools:1",),
    suggest="images",
)
