"""``inspect``: documents of objects, as JSON or through a template."""

from __future__ import annotations

from casemate.cli import jsontext
from casemate.cli.failure import Exit, joined
from casemate.cli.listing import shown
from casemate.cli.output import err, out
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from casemate.cli.template import Template

_USAGE = 64


def template_of(form: str) -> Template | None:
    """Return the template of ``--format``, None for "" and "json". Raises Exit."""
    if form in ("", "json"):
        return None
    from casemate.cli.template import TemplateError, parse

    try:
        return parse(form)
    except TemplateError as error:
        raise Exit(_USAGE, str(error)) from None


def inspect(names: list[str], form: str, fetch: Callable[[str], Any]) -> int:
    """Print what ``fetch`` returns for each name. Raises Exit with all errors at the end."""
    template = template_of(form)
    errors: list[Error] = []
    found: list[Any] = []
    lines = ""
    for name in names:
        try:
            document = fetch(name)
            if template:
                lines += template.render(document) + "\n"
            found.append(document)
        except Error as error:
            errors.append(error)
    if template:
        out(shown(lines or "\n"))
    else:
        out(jsontext.dumps(found, "" if form == "json" else "    ") + "\n")
    if errors:
        raise joined(errors)
    return 0


def print_one(document: Any, form: str) -> None:
    """Print one document in the form that was asked for, which is not ""."""
    template = template_of(form)
    out(shown(template.render(document)) if template else jsontext.dumps(document))
    out("\n")


def warn_size(kind: str) -> None:
    """Tell that ``--size`` says nothing about an object of ``kind``."""
    err(f"WARNING: --size ignored for {kind}s\n")
