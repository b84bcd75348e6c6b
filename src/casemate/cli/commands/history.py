"""``history``: how an image came to be, layer by layer."""

from __future__ import annotations

from casemate.cli import timestamps
from casemate.cli.containers import short_id
from casemate.cli.engine import path_of
from casemate.cli.listing import Listing
from casemate.cli.options import FORMAT, SWITCH, Command, Option
from casemate.cli.table import shortened
from casemate.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

    Layer = dict[str, Any]

#: A time before this one says that nobody knows: images are built with the date 0 on purpose.
_YEAR_2000 = 946684800


def _run(session: Session, arguments: Arguments) -> int:
    query = path_of("images", arguments.rest[0], "history")
    listing = _HUMAN if arguments.switch("human") else _EXACT
    listing.show(
        session.engine.get(query),
        arguments.text("format"),
        whole=arguments.switch("no-trunc"),
        quiet=arguments.switch("quiet"),
    )
    return 0


def _identifier(item: Layer, whole: bool) -> str:
    return str(item["Id"]) if whole else short_id(item["Id"])


def _created_at(item: Layer, whole: bool) -> str:
    return timestamps.rfc3339(item.get("Created") or 0)


def _created_since(item: Layer, whole: bool) -> str:
    created = item.get("Created") or 0
    return "N/A" if created <= _YEAR_2000 else timestamps.ago(created)


def _created_by(item: Layer, whole: bool) -> str:
    text = str(item.get("CreatedBy") or "").replace("\t", " ")
    return text if whole else shortened(text, 45)


_COLUMNS = {
    "ID": ("IMAGE", _identifier),
    "CreatedSince": ("CREATED", _created_since),
    "CreatedAt": ("CREATED AT", _created_at),
    "CreatedBy": ("CREATED BY", _created_by),
    "Size": ("SIZE", lambda item, whole: human_size(item.get("Size") or 0, 3)),
    "Comment": ("COMMENT", lambda item, whole: str(item.get("Comment") or "")),
}
_HUMAN = Listing(_COLUMNS, ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"))
_EXACT = Listing(
    _COLUMNS
    | {
        "CreatedSince": ("CREATED", _created_at),
        "Size": ("SIZE", lambda item, whole: str(item.get("Size") or 0)),
    },
    ("ID", "CreatedAt", "CreatedBy", "Size", "Comment"),
)

COMMAND = Command(
    "[OPTIONS] IMAGE",
    _run,
    (
        FORMAT,
        Option(
            "human",
            SWITCH,
            "Print sizes and dates in human readable format",
            short="H",
            default=True,
        ),
        Option("no-trunc", SWITCH, "Don't truncate output"),
        Option("quiet", SWITCH, "Only show image IDs", short="q"),
    ),
    least=1,
    most=1,
    examples=("casemate history --no-trunc debian",),
    suggest="images",
    suggest_up_to=1,
)
