"""One record of comma-separated values, as ``--mount`` and its like take them. Source: RFC 4180."""

from __future__ import annotations


def fields(text: str) -> list[str]:
    """Split ``text`` at commas that are not in double quotes. Raises ValueError."""
    found: list[str] = []
    position = 0
    while True:
        if text.startswith('"', position):
            value, position = _quoted(text, position + 1)
            if position < len(text) and text[position] != ",":
                raise ValueError('extraneous or missing " in quoted-field')
        else:
            end = text.find(",", position)
            end = len(text) if end < 0 else end
            value, position = text[position:end], end
            if '"' in value:
                raise ValueError('bare " in non-quoted-field')
        found.append(value)
        if position >= len(text):
            return found
        position += 1


def _quoted(text: str, position: int) -> tuple[str, int]:
    """Return the value of a quoted field and the position behind its closing quote."""
    value = ""
    while True:
        end = text.find('"', position)
        if end < 0:
            raise ValueError('extraneous or missing " in quoted-field')
        value += text[position:end]
        if text[end + 1 : end + 2] != '"':
            return value, end + 1
        value += '"'
        position = end + 2
