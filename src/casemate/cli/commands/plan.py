"""``plan``: show the steps that would put a container together."""

from __future__ import annotations

from casemate.cli import creation, jsontext
from casemate.cli.create_options import CREATE_OPTIONS
from casemate.cli.engine import path_of
from casemate.cli.failure import BadUsage, Exit
from casemate.cli.listing import shown
from casemate.cli.options import Command, Option
from casemate.cli.output import out
from casemate.cli.startfailure import explained
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    form = arguments.text("format")
    if form not in ("", "json"):
        raise Exit(1, f"unknown format {form!r}: plan prints text, or JSON with --format json")
    try:
        body = creation.body_of(session, arguments)
    except (BadUsage, Exit):
        raise
    except Error as error:
        raise explained(error, "plan", status=125) from None
    query = path_of("plan", name=arguments.text("name"), platform=creation.platform_of(arguments))
    engine = session.extensions
    answer = creation.with_image(session, arguments, body, lambda: engine.post(query, body))
    if form == "json":
        out(jsontext.dumps(answer, "    ") + "\n")
    else:
        out(shown(str(answer["Text"])).rstrip("\n") + "\n")
    return 0


COMMAND = Command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    _run,
    (*CREATE_OPTIONS, Option("format", "string", "'json': the plan and the runtime spec as JSON")),
    least=1,
    mixed=False,
    about="Show how a container would be put together, step by step.\n"
    "Takes the options of run; nothing is created.",
    examples=("casemate plan --read-only --cap-drop ALL debian",),
    suggest="images",
    suggest_up_to=1,
)
