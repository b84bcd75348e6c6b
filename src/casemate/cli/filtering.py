"""``--filter NAME=VALUE`` as the API takes it."""

from __future__ import annotations

from casemate.cli.options import Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments

FILTER = Option("filter", "filter", "Filter output based on conditions provided", short="f")


def pairs(arguments: Arguments) -> list[tuple[str, str]]:
    """Return the filters that were given. Raises BadUsage for one without ``=``."""
    found = []
    for text in filter(None, arguments.items("filter")):
        name, equals, value = text.partition("=")
        if not equals:
            reason = "bad format of filter (expected name=value)"
            raise arguments.refuse("filter", reason, text)
        found.append((name.strip().lower(), value.strip()))
    return found
