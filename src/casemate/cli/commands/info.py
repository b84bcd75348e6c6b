"""``info``: the engine's view of itself and of the machine."""

from __future__ import annotations

from casemate import __version__
from casemate.cli.infotext import server_lines
from casemate.cli.inspecting import print_one, template_of
from casemate.cli.options import FORMAT_ONE, Command
from casemate.cli.output import clean, err, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    form = arguments.text("format")
    template_of(form)
    info = session.engine.get("/info")
    if form:
        print_one(info | {"ClientInfo": {"Version": __version__}}, form)
        return 0
    out(f"Client:\n Version:    {__version__}\n Address:    {session.location.address}\n\n")
    out("Server:\n" + "".join(f"{clean(line)}\n" for line in server_lines(info)) + "\n")
    for warning in info.get("Warnings") or []:
        err(f"{warning}\n")
    return 0


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (FORMAT_ONE,),
    most=0,
    examples=("casemate info --format '{{.Driver}}'", "casemate info --format '{{.Socket}}'"),
)
