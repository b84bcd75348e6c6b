"""Columns on a terminal, aligned as docker aligns them.

At least ten wide and three apart; the last column of a line is not filled up. Wide characters
count as two.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MIN_WIDTH = 10
_GAP = 3


def aligned(lines: Sequence[Sequence[str]], min_width: int = _MIN_WIDTH, gap: int = _GAP) -> str:
    """Return ``lines`` of cells as text.

    A column is what follows one another: a line with fewer cells begins a new one, so that the
    widths of what stands apart do not depend on each other.
    """
    padded = [list(line) for line in lines]
    for column in range(max(map(len, lines), default=1) - 1):
        start = 0
        while start < len(lines):
            end = start
            while end < len(lines) and column < len(lines[end]) - 1:
                end += 1
            _pad(padded[start:end], column, min_width, gap)
            start = end + 1
    return "".join(["".join(line) + "\n" for line in padded])


def _pad(lines: list[list[str]], column: int, min_width: int, gap: int) -> None:
    """Fill the cells of one column up to the width of the widest."""
    cells = [line[column] for line in lines]
    widths = [width_of(cell) for cell in cells]
    width = max(max(widths, default=0) + gap, min_width)
    for line, cell, own in zip(lines, cells, widths, strict=True):
        line[column] = cell + " " * (width - own)


def width_of(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def shortened(text: str, width: int) -> str:
    """Return ``text``, cut to ``width`` columns with an ellipsis at its end."""
    if len(text) <= width and text.isascii():
        return text
    taken = fits = 0
    for position, character in enumerate(text):
        taken += _width(character)
        if taken > width:
            return text[:fits] + "…"
        if taken < width:
            fits = position + 1
    return text


def _width(character: str) -> int:
    if character.isascii():
        return 1
    from unicodedata import combining, east_asian_width

    return 0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1
