"""Templates for ``--format``, in the language of Go's text/template as docker's commands use it.

Fields, variables, pipes, ``if``, ``with``, ``range``, comments, trim markers, the functions for
comparison and logic, ``index``, ``slice``, ``len``, ``print``, ``printf``, ``println``, and
docker's ``json``, ``join``, ``split``, ``upper``, ``lower``, ``title``, ``pad`` and ``truncate``.

Values are those of JSON, or objects with a ``field(name)`` and a ``document()``. Written without
``re``, since ``ps --format`` is called in loops. Source: Go's package documentation of
text/template; docker/cli docs, "Format command and log output".
"""

from __future__ import annotations

from casemate.cli.template.failure import TemplateError, UnknownField
from casemate.cli.template.grammar import Parser
from casemate.cli.template.scope import Scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.template.nodes import Node

__all__ = ["Template", "TemplateError", "parse"]


class Template:
    """A template that was read. ``fields`` are the names of all fields in it."""

    __slots__ = ("_nodes", "fields")

    def __init__(self, nodes: list[Node], fields: frozenset[str]) -> None:
        self._nodes = nodes
        self.fields = fields

    def render(self, value: Any) -> str:
        """Return the text for ``value``. Raises TemplateError that shows the place."""
        from casemate.cli.template.functions import FUNCTIONS

        scope = Scope(value, FUNCTIONS)
        try:
            for node in self._nodes:
                node.render(scope)
        except RecursionError:
            raise TemplateError("the template is nested too deeply") from None
        return scope.text()

    def render_headers(self, headers: Any) -> str:
        """Return the header line of a table: ``headers`` in place of a value.

        What functions would do to a value they do not do to a header; a template that cannot
        work on headers shows as far as it got. Raises UnknownField.
        """
        from casemate.cli.template.functions import HEADER_FUNCTIONS

        scope = Scope(headers, HEADER_FUNCTIONS)
        try:
            for node in self._nodes:
                node.render(scope)
        except UnknownField:
            raise
        except TemplateError:
            pass
        return scope.text()


def parse(text: str) -> Template:
    """Read a template. Raises TemplateError that shows the line and the rule."""
    parser = Parser(text)
    return Template(parser.whole(), frozenset(parser.fields))
