"""JSON without the ``json`` package, whose import (it needs ``re``) costs a third of a command.

Reads with the C scanner that is behind ``json.loads``. Source: CPython Modules/_json.c.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SPACE = " \t\n\r"


class _Strict:
    """What the scanner asks its context for: JSON as RFC 8259 has it, and Python's numbers."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    array_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}  # noqa: RUF012

    @staticmethod
    def parse_constant(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")


_scan: Any = make_scanner(_Strict)  # type: ignore[arg-type]


def loads(data: bytes | bytearray | str) -> Any:
    """Return the value of one JSON text. Raises ValueError."""
    text = data if isinstance(data, str) else bytes(data).decode("utf-8")
    start = len(text) - len(text.lstrip(_SPACE))
    try:
        value, end = _scan(text, start)
    except StopIteration as error:
        raise ValueError(f"not JSON at character {error.value}") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if text[end:].strip(_SPACE):
        raise ValueError(f"not JSON at character {end}")
    return value


def dumps(value: Any, step: str = "") -> str:
    """Return ``value`` as JSON, on one line, or on many that are indented by ``step``.

    Characters that a terminal could obey are escaped; the others stay readable.
    """
    pieces: list[str] = []
    _write(value, pieces, "\n" if step else "", step)
    return "".join(pieces)


def _write(value: Any, pieces: list[str], line: str, step: str) -> None:
    """Append ``value``; ``line`` is the line break and indentation that it stands at."""
    if isinstance(value, str):
        pieces.append(_quoted(value))
    elif value is None:
        pieces.append("null")
    elif isinstance(value, bool):
        pieces.append("true" if value else "false")
    elif isinstance(value, (int, float)):
        pieces.append(repr(value))
    elif isinstance(value, dict):
        colon = ": " if line else ":"
        _write_items([(_quoted(str(k)) + colon, v) for k, v in value.items()], pieces, line, step)
        pieces.append("}" if value else "{}")
    else:
        _write_items([("", item) for item in value], pieces, line, step)
        pieces.append("]" if value else "[]")


def _write_items(items: list[tuple[str, Any]], pieces: list[str], line: str, step: str) -> None:
    inner = line + step if line else ""
    separator = "{" if items and items[0][0] else "["
    for name, item in items:
        pieces.append(separator + inner + name)
        _write(item, pieces, inner, step)
        separator = ","
    if items:
        pieces.append(line)


def _quoted(text: str) -> str:
    if text.isascii():
        return encode_basestring_ascii(text).replace("\x7f", "\\u007f")
    if text.isprintable():
        return encode_basestring(text)
    inside = (encode_basestring if c.isprintable() else encode_basestring_ascii for c in text)
    return '"' + "".join(quote(c)[1:-1] for quote, c in zip(inside, text, strict=True)) + '"'
