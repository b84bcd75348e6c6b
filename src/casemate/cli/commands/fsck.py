"""``fsck``: check what is stored against its digests and the database."""

from __future__ import annotations

from casemate.cli import jsontext
from casemate.cli.failure import Exit
from casemate.cli.options import SWITCH, Command, Option
from casemate.cli.output import clean, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    form = arguments.text("format")
    if form not in ("", "json"):
        raise Exit(1, f"unknown format {form!r}: fsck prints text, or JSON with --format json")
    path = "/fsck?repair=1" if arguments.switch("repair") else "/fsck"
    found = left = 0
    checked: dict[str, Any] | None = None
    for document in session.extensions.documents("POST", path):
        if "error" in document or "message" in document:
            raise Exit(1, str(document.get("error") or document["message"]))
        if "Checked" in document:
            checked = document["Checked"]
        else:
            found += 1
            left += not document.get("Repair")
        if form == "json":
            out(jsontext.dumps(document) + "\n")
        elif "Checked" not in document:
            out(_line(document))
    if checked is None:
        raise Exit(1, "the check broke off: not everything was looked at")
    if form != "json":
        out(_summary(checked, found, left))
    return 1 if left else 0


def _line(problem: dict[str, Any]) -> str:
    text = f"{problem.get('Kind')} {problem.get('Name')}: {problem.get('Problem')}"
    repair = problem.get("Repair")
    return clean(f"{text} ({repair})" if repair else text) + "\n"


def _counted(name: str, count: int) -> str:
    return f"1 {name.removesuffix('s')}" if count == 1 else f"{count} {name}"


def _summary(checked: dict[str, Any], found: int, left: int) -> str:
    counts = ", ".join(_counted(name.lower(), count) for name, count in checked.items())
    if not found:
        return clean(f"checked {counts}: everything is well") + "\n"
    return (
        clean(
            f"checked {counts}: {_counted('problems', found)}, {found - left} repaired, {left} left"
        )
        + "\n"
    )


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (
        Option("format", "string", "'json': one JSON document for each line"),
        Option("repair", SWITCH, "Repair what can be repaired"),
    ),
    most=0,
    about="Check everything that is stored: blobs and layers against their digests, records\n"
    "against what is there. Ends with 1 when problems are left.",
    examples=("casemate fsck --repair",),
)
