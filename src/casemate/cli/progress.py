"""What the engine tells while it pulls, pushes, loads or imports: lines, and bars on a terminal."""

from __future__ import annotations

import time

from casemate.cli.output import clean, clean_lines, is_terminal, terminal_size, write
from casemate.cli.table import shortened
from casemate.cli.units import human_size
from casemate.errors import Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

_BAR = 50
#: The size of a terminal that does not tell its own.
_ROWS, _COLUMNS = 24, 80
_BAR_MIN_COLUMNS = 110
#: A line that only counts up is drawn at most so often.
_PERIOD_S = 0.05


def display(
    documents: Iterable[dict[str, Any]],
    descriptor: int,
    on_aux: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Show a stream of progress on ``descriptor``; -1 shows nothing.

    Raises the Error that ends the stream.
    """
    board = Board(descriptor) if descriptor >= 0 and is_terminal(descriptor) else None
    for document in documents:
        check(document)
        if "aux" in document:
            if on_aux and isinstance(document["aux"], dict):
                on_aux(document["aux"])
        elif board:
            board.show(document)
        elif descriptor >= 0:
            _show_plain(document, descriptor)


def check(document: dict[str, Any]) -> None:
    """Raise Unavailable when a document of a stream says that the work has failed."""
    detail = document.get("errorDetail") or {}
    if detail or document.get("error"):
        hint = detail.get("hint")
        raise Unavailable(
            str(detail.get("message") or document.get("error")),
            hint=str(hint) if hint else None,
        )


class Board:
    """Lines on a terminal, one for each id, that change in place."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: list[str] = []
        self._drawn: dict[str, tuple[str, float]] = {}

    def show(self, document: dict[str, Any]) -> None:
        """Draw one document: the line of its id, or a line of its own below all others."""
        identifier = str(document.get("id") or "")
        if not identifier or "progressDetail" not in document:
            self._lines.clear()
            self._drawn.clear()
            _show_plain(document, self._descriptor)
            return
        status = str(document.get("status") or "")
        before, drawn_at = self._drawn.get(identifier, ("", 0.0))
        now = time.monotonic()
        if status == before and now - drawn_at < _PERIOD_S:
            return
        self._drawn[identifier] = status, now
        self._draw(identifier, status, document.get("progressDetail") or {})

    def _draw(self, identifier: str, status: str, detail: dict[str, Any]) -> None:
        rows, columns = terminal_size(self._descriptor)
        rows, columns = rows or _ROWS, columns or _COLUMNS
        text = clean(f"{identifier}: {status} {counted(detail, columns)}".rstrip())
        line = shortened(text, columns - 1).encode("utf-8", "backslashreplace")
        if identifier not in self._lines:
            self._lines.append(identifier)
            write(self._descriptor, line + b"\n")
            return
        up = len(self._lines) - self._lines.index(identifier)
        if up < rows:  # else it has left the screen
            write(self._descriptor, b"\x1b[%dA\r\x1b[2K%b\r\x1b[%dB" % (up, line, up))


def counted(detail: dict[str, Any], columns: int) -> str:
    """Return how far something is, with a bar when there is room for one."""
    current, total = detail.get("current") or 0, detail.get("total") or 0
    if current <= 0 and total <= 0:
        return ""
    if detail.get("units"):
        shown = f"{current}/{total}" if total >= current > 0 else str(current)
        return f"{shown} {detail['units']}"
    if total <= 0:
        return f"{human_size(current):>8}"
    done = min(current * 100 // total // 2, _BAR)
    bar = f"[{'=' * done}>{' ' * (_BAR - done)}] " if columns > _BAR_MIN_COLUMNS else ""
    numbers = f"{human_size(current):>8}"
    if not detail.get("hidecounts"):
        bar += f"{numbers}/{human_size(total)}" if current <= total else numbers
    return bar


def _show_plain(document: dict[str, Any], descriptor: int) -> None:
    """Print a document as a line; what only counts up is left out."""
    if counted(document.get("progressDetail") or {}, 0):
        return
    if document.get("stream"):
        text = clean_lines(str(document["stream"]))
    else:
        identifier = document.get("id")
        status = clean(str(document.get("status") or document.get("progress") or ""))
        text = (f"{clean(str(identifier))}: " if identifier else "") + status + "\n"
    write(descriptor, text.encode("utf-8", "backslashreplace"))
