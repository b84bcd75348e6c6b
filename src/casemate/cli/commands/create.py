"""``create``: make a container, without starting it."""

from __future__ import annotations

from casemate.cli import creation
from casemate.cli.create_options import CREATE_OPTIONS
from casemate.cli.failure import BadUsage, Exit
from casemate.cli.options import Command
from casemate.cli.output import out
from casemate.cli.startfailure import explained
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    try:
        body = creation.body_of(session, arguments)
    except (BadUsage, Exit):
        raise
    except Error as error:
        raise explained(error, "create", status=125) from None
    out(f"{creation.create(session, arguments, body)}\n")
    return 0


COMMAND = Command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    _run,
    CREATE_OPTIONS,
    least=1,
    mixed=False,
    examples=("casemate create --name box -it debian bash",),
    suggest="images",
    suggest_up_to=1,
)
