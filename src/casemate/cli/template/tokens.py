"""A template as text and actions, and an action as tokens."""

from __future__ import annotations

from casemate.cli.template.failure import at_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACE = " \t\r\n"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v",
            "\\": "\\", '"': '"', "'": "'"}  # fmt: skip
_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}


class Token:
    """One token: ``kind`` is text, field, variable, word, string, number, dot, or a sign itself.

    ``spaced`` tells whether white space is before it: ``.A .B`` are two fields, ``.A.B`` is one.
    """

    __slots__ = ("kind", "position", "spaced", "value")

    def __init__(self, kind: str, value: str, position: int, spaced: bool) -> None:
        self.kind = kind
        self.value = value
        self.position = position
        self.spaced = spaced


def split(text: str) -> Iterator[str | list[Token]]:
    """Yield the texts and actions of a template in order, trimmed as their markers say."""
    position = 0
    trim_next = False
    while True:
        start = text.find("{{", position)
        piece = text[position:] if start < 0 else text[position:start]
        if trim_next:
            piece = piece.lstrip(_SPACE)
        if start < 0:
            if piece:
                yield piece
            return
        inside = start + 2
        if text[inside : inside + 1] == "-" and text[inside + 1 : inside + 2] in tuple(_SPACE):
            piece = piece.rstrip(_SPACE)
            inside += 1
        if piece:
            yield piece
        tokens, position, trim_next = _action(text, inside)
        if tokens is not None:
            yield tokens


def _action(text: str, position: int) -> tuple[list[Token] | None, int, bool]:
    """Return the tokens of an action (None for a comment), where it ends, and whether to trim."""
    body = position + len(text[position:]) - len(text[position:].lstrip(_SPACE))
    if text.startswith("/*", body):
        end = text.find("*/", body)
        if end < 0:
            raise at_line(text, body, "unclosed comment")
        after = end + 2
        ending = _ending(text, after)
        if ending is None:
            raise at_line(text, after, "comment ends before closing delimiter")
        return None, *ending
    tokens: list[Token] = []
    start = position
    while True:
        spaced = False
        while position < len(text) and text[position] in _SPACE:
            ending = _ending(text, position) if text[position + 1 : position + 2] == "-" else None
            if ending:
                return tokens, *ending
            position, spaced = position + 1, True
        if ending := _ending(text, position):
            return tokens, *ending
        if position >= len(text):
            raise at_line(text, start, "unclosed action")
        token, position = _token(text, position, spaced)
        tokens.append(token)


def _ending(text: str, position: int) -> tuple[int, bool] | None:
    """Return (position behind, whether to trim) when an action ends here."""
    if text.startswith("}}", position):
        return position + 2, False
    if text[position : position + 1] in tuple(_SPACE) and text.startswith("-}}", position + 1):
        return position + 4, True
    return None


def _token(text: str, position: int, spaced: bool) -> tuple[Token, int]:
    first = text[position]
    if first in "|(),":
        return Token(first, first, position, spaced), position + 1
    if first in ":=":
        sign = ":=" if text.startswith(":=", position) else first
        if sign == ":":
            raise at_line(text, position, "expected :=")
        return Token(sign, sign, position, spaced), position + len(sign)
    if first in "\"`'":
        value, end = _quoted(text, position)
        return Token("number" if first == "'" else "string", value, position, spaced), end
    if first in "+-0123456789" or (first == "." and text[position + 1 : position + 2].isdigit()):
        end = _while(text, position + 1, "0123456789abcdefABCDEFxXoOpP_.+-")
        return Token("number", text[position:end], position, spaced), end
    end = position + 1
    while end < len(text) and (text[end].isalnum() or text[end] == "_"):
        end += 1
    if first == ".":
        kind = "field" if end > position + 1 else "dot"
        return Token(kind, text[position + 1 : end], position, spaced), end
    if first == "$":
        return Token("variable", text[position:end], position, spaced), end
    if first.isalpha() or first == "_":
        return Token("word", text[position:end], position, spaced), end
    raise at_line(text, position, f"unexpected {first!r} in command")


def _while(text: str, end: int, characters: str) -> int:
    while end < len(text) and text[end] in characters:
        end += 1
    return end


def _quoted(text: str, position: int) -> tuple[str, int]:
    """Read a string in double quotes or back quotes, or a character as its number."""
    quote = text[position]
    what = "character constant" if quote == "'" else "quoted string"
    if quote == "`":
        end = text.find("`", position + 1)
        if end < 0:
            raise at_line(text, position, "unterminated raw quoted string")
        return text[position + 1 : end], end + 1
    value = ""
    end = position + 1
    while end < len(text) and text[end] not in (quote, "\n"):
        if text[end] == "\\":
            character, end = _escape(text, end + 1)
            value += character
        else:
            value += text[end]
            end += 1
    if text[end : end + 1] != quote:
        raise at_line(text, position, f"unterminated {what}")
    if quote == "'":
        if len(value) != 1:
            raise at_line(text, position, "a character constant is one character")
        value = str(ord(value))
    return value, end + 1


def _escape(text: str, position: int) -> tuple[str, int]:
    letter = text[position : position + 1]
    if letter in _ESCAPES and letter:
        return _ESCAPES[letter], position + 1
    digits = _HEX_ESCAPES.get(letter, 0)
    number = text[position + 1 : position + 1 + digits]
    try:
        if len(number) != digits or not digits:
            raise ValueError
        return chr(int(number, 16)), position + 1 + digits
    except (ValueError, OverflowError):
        raise at_line(text, position, f"invalid escape \\{letter}") from None
