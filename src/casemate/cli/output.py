"""Text to the terminal: UTF-8 whatever the locale says, and nothing that steers the terminal.

Names, labels and messages come from images and from the network. A character that is not
printable (escape sequences, bidirectional overrides) is shown as its escape instead.
"""

from __future__ import annotations

import os

OUT = 1
ERR = 2


def clean(text: str) -> str:
    """Return ``text`` as one line without a control character in it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def clean_lines(text: str) -> str:
    """Return ``text`` without control characters, but with its line breaks and tabs."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def out(text: str) -> None:
    """Write ``text`` to standard output. Raises BrokenPipeError when nobody reads it."""
    write(OUT, text.encode("utf-8", "backslashreplace"))


def err(text: str) -> None:
    """Write ``text``, free of control characters, to standard error."""
    try:
        write(ERR, clean_lines(text).encode("utf-8", "backslashreplace"))
    except OSError:
        pass  # nobody is left to tell


def write(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of ``data``."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def is_terminal(descriptor: int) -> bool:
    """Return whether ``descriptor`` is a terminal; a closed one is not."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def terminal_size(descriptor: int = OUT) -> tuple[int, int]:
    """Return (rows, columns) of the terminal; (0, 0) when it is none."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return 0, 0
    return size.lines, size.columns


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if character != " " else character
