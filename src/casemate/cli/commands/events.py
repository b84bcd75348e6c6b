"""``events``: what happens, as it happens."""

from __future__ import annotations

from casemate.cli import filtering, jsontext
from casemate.cli.engine import filters, path_of
from casemate.cli.inspecting import template_of
from casemate.cli.listing import shown
from casemate.cli.options import Command, Option
from casemate.cli.output import clean, out
from casemate.cli.timestamps import for_query, rfc3339

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    form = arguments.text("format")
    template = template_of(form)
    query = path_of(
        "events",
        filters=filters(filtering.pairs(arguments)),
        since=for_query(arguments.text("since")),
        until=for_query(arguments.text("until")),
    )
    for event in session.engine.documents("GET", query):
        if template:
            out(shown(template.render(event)) + "\n")
        else:
            out((jsontext.dumps(event) if form == "json" else _line(event)) + "\n")
    return 0


def _line(event: dict[str, Any]) -> str:
    seconds, nanoseconds = divmod(event.get("timeNano") or 0, 1_000_000_000)
    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{k}={v}" for k, v in sorted((actor.get("Attributes") or {}).items()))
    words = [str(event.get("Type")), str(event.get("Action")), str(actor.get("ID"))]
    if attributes:
        words.append(f"({attributes})")
    return f"{rfc3339(seconds, nanoseconds)} {clean(' '.join(words))}"


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (
        filtering.FILTER,
        Option("format", "string", "Format output: 'json', or a Go template"),
        Option("since", "string", "Show all events created since timestamp"),
        Option("until", "string", "Stream events until this timestamp"),
    ),
    most=0,
    examples=("casemate events --filter type=container --since 10m",),
)
