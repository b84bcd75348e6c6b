"""``logout``: forget the credentials for a registry."""

from __future__ import annotations

from casemate.cli import authentication
from casemate.cli.options import Command
from casemate.cli.output import err, out
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    server = arguments.rest[0] if arguments.rest else ""
    if server in ("", "docker.io"):
        shown, keys = authentication.HUB, [authentication.HUB]
    else:
        shown = authentication.host_of(server)
        # Older versions kept them under the whole address.
        keys = list(dict.fromkeys([server, shown, f"http://{shown}", f"https://{shown}"]))
    out(f"Removing login credentials for {shown}\n")
    failures = []
    for key in keys:
        try:
            authentication.erase(session.config, key)
        except Error as error:
            failures.append(f"{key}: {error}\n")
    if len(failures) == len(keys):
        err("WARNING: could not erase credentials:\n" + "".join(failures))
    return 0


COMMAND = Command(
    "[SERVER]",
    _run,
    most=1,
    about="Log out from a registry.\nDefaults to Docker Hub if no server is specified.",
    examples=("casemate logout registry.lan:5000",),
    suggest="registries",
    suggest_up_to=1,
)
