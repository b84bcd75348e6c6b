"""What is wrong with a template."""

from __future__ import annotations

from casemate.errors import InvalidArgument


class TemplateError(InvalidArgument):
    """The template cannot be read, or does not fit the value."""


class UnknownField(TemplateError):
    """The value has no field of that name."""


def at_line(text: str, position: int, reason: str) -> TemplateError:
    """Return the error for a template that cannot be read at ``position``."""
    line = text.count("\n", 0, position) + 1
    return TemplateError(f"template parsing error: template: :{line}: {reason}")
