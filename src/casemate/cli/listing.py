"""Lists of objects: a table, one value for each line, JSON, or a template of the user's."""

from __future__ import annotations

from casemate.cli import jsontext
from casemate.cli.output import OUT, clean, clean_lines, is_terminal, out
from casemate.cli.table import aligned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from casemate.cli.template import Template

    #: A column's header, and what its cell says about an object; the second argument of the
    #: function is False when long values are to be shortened.
    Columns = Mapping[str, tuple[str, Callable[[Any, bool], str]]]


class Row:
    """One object as a template sees it: a field for each column, and ``Label NAME``."""

    __slots__ = ("_columns", "_item", "_whole")

    def __init__(self, columns: Columns, item: Any, whole: bool) -> None:
        self._columns = columns
        self._item = item
        self._whole = whole

    def field(self, name: str) -> Any:
        """Return the cell of the column ``name``. Raises KeyError."""
        if name == "Label":
            return self._label
        return self._columns[name][1](self._item, self._whole)

    def document(self) -> dict[str, str]:
        """Return every cell by name, as ``json`` shows them."""
        return {name: self.field(name) for name in sorted(self._columns)}

    def _label(self, name: str) -> str:
        return str((self._item.get("Labels") or {}).get(name, ""))


class Headers:
    """The column headers, in place of a row."""

    __slots__ = ("_columns",)

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def field(self, name: str) -> Any:
        """Return the header of the column ``name``. Raises KeyError."""
        if name == "Label":
            return lambda label: label.rpartition(".")[2].replace("-", " ").replace("_", " ")
        return self._columns[name][0]

    def document(self) -> dict[str, str]:
        """Return every header by name."""
        return {name: header for name, (header, _) in self._columns.items()}


class Listing:
    """How one kind of object is listed: its columns, the usual ones, and the one of ``--quiet``."""

    __slots__ = ("columns", "quiet", "usual")

    def __init__(self, columns: Columns, usual: Sequence[str], quiet: str = "ID") -> None:
        self.columns = columns
        self.usual = usual
        self.quiet = quiet

    def show(
        self, items: Iterable[Any], form: str = "", *, whole: bool = False, quiet: bool = False
    ) -> None:
        """Print ``items`` in the form of ``--format``; "" and "table" are the usual table."""
        out(self.text(items, form, whole=whole, quiet=quiet))

    def text(
        self, items: Iterable[Any], form: str = "", *, whole: bool = False, quiet: bool = False
    ) -> str:
        """Return what ``show`` prints."""
        if quiet and form in ("", "table"):
            cells = [clean(self.columns[self.quiet][1](item, whole)) for item in items]
            return "".join(f"{cell}\n" for cell in cells)
        if form in ("", "table"):
            return self._table(items, whole)
        if form == "json":
            rows = (Row(self.columns, item, whole) for item in items)
            return "".join(f"{jsontext.dumps(row.document())}\n" for row in rows)
        template, table = compiled(form)
        heads = template.render_headers(Headers(self.columns))  # also with nothing to list
        rows = (Row(self.columns, item, whole) for item in items)
        lines = "".join(f"{template.render(row)}\n" for row in rows)
        return _table_of(heads, lines) if table else shown(lines)

    def _table(self, items: Iterable[Any], whole: bool) -> str:
        chosen = [self.columns[name] for name in self.usual]
        lines = [[header for header, _ in chosen]]
        lines += [[clean(cell(item, whole)) for _, cell in chosen] for item in items]
        return aligned(lines)


def compiled(form: str) -> tuple[Template, bool]:
    """Return the template of ``--format`` and whether it is a table's."""
    from casemate.cli.template import parse

    table = form.startswith("table")
    text = form.removeprefix("table").strip(" ") if table else form
    return parse(text.replace("\\t", "\t").replace("\\n", "\n")), table


def shown(text: str) -> str:
    """Return ``text`` as it may go to standard output: a terminal is not to be steered by it."""
    return clean_lines(text) if is_terminal(OUT) else text


def naturally(text: str) -> list[tuple[bool, int | str]]:
    """Return a key that sorts ``v2`` before ``v10``."""
    pieces: list[str] = []
    for character in text:
        if pieces and pieces[-1][-1].isdecimal() == character.isdecimal():
            pieces[-1] += character
        else:
            pieces.append(character)
    return [(not p.isdecimal(), int(p) if p.isdecimal() else p) for p in pieces]


def _table_of(heads: str, lines: str) -> str:
    whole = f"{heads}\n{lines}"
    return aligned([[clean(cell) for cell in line.split("\t")] for line in whole.split("\n")[:-1]])
