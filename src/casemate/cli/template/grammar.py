"""Tokens become nodes."""

from __future__ import annotations

from casemate.cli.template.failure import TemplateError, at_line
from casemate.cli.template.functions import FUNCTIONS, SHORT_CIRCUITS
from casemate.cli.template.nodes import (
    Branch,
    Call,
    Choice,
    Command,
    Dot,
    Fields,
    Literal,
    Node,
    Pipe,
    Place,
    Range,
    Show,
    Term,
    Text,
    Variable,
)
from casemate.cli.template.tokens import Token, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_DEPTH = 50
_BLOCKS = ("if", "with", "range")
_UNSUPPORTED = ("block", "break", "continue", "define", "template")
_CONSTANTS = {"true": True, "false": False, "nil": None}


class Parser:
    """Reads one template; ``fields`` are the names of the fields that it mentions."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts = split(text)
        self._variables = ["$"]
        self._depth = 0
        self.fields: set[str] = set()

    def whole(self) -> list[Node]:
        """Return the template's nodes. Raises TemplateError."""
        nodes, stop = self._list(False)
        assert not stop
        return nodes

    def _list(self, inside: bool) -> tuple[list[Node], list[Token]]:
        """Return nodes up to ``end`` or ``else``, and that action."""
        nodes: list[Node] = []
        for part in self._parts:
            if isinstance(part, str):
                nodes.append(Text(part))
                continue
            if not part:
                raise TemplateError(
                    "template parsing error: template: :1: missing value for command"
                )
            word = part[0].value if part[0].kind == "word" else ""
            if word in ("end", "else"):
                if not inside:
                    raise self._error(part[0], f"unexpected {{{{{word}}}}}")
                return nodes, part
            if word in _UNSUPPORTED:
                raise self._error(part[0], f"{{{{{word}}}}} is not supported")
            nodes.append(self._block(word, part) if word in _BLOCKS else Show(self._pipe(part)))
        if inside:
            raise at_line(self._text, len(self._text), "unexpected EOF: {{end}} is missing")
        return nodes, []

    def _block(self, word: str, part: list[Token]) -> Node:
        """Read ``if``, ``with`` or ``range`` with what belongs to it."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(part[0], f"blocks are nested more than {_MAX_DEPTH} deep")
        known = len(self._variables)
        pipe = self._pipe(part[1:], part[0], pairs=word == "range")
        body, stop = self._list(True)
        otherwise: list[Node] = []
        if stop[0].value == "else" and len(stop) > 1:
            if stop[1].kind != "word" or stop[1].value not in ("if", "with"):
                raise self._error(stop[1], "unexpected value after {{else}}")
            otherwise = [self._block(stop[1].value, stop[1:])]
        elif stop[0].value == "else":
            otherwise, stop = self._list(True)
            if stop[0].value == "else":
                raise self._error(stop[0], "expected {{end}}, found {{else}}")
        if stop[0].value == "end" and len(stop) > 1:
            raise self._error(stop[1], "unexpected value in {{end}}")
        del self._variables[known:]
        self._depth -= 1
        if word == "range":
            return Range(pipe, body, otherwise)
        return Branch(pipe, body, otherwise, word == "with")

    def _pipe(self, tokens: list[Token], before: Token | None = None, pairs: bool = False) -> Pipe:
        names, sign, rest = self._declaration(tokens, 2 if pairs else 1)
        if not rest:
            raise self._error(before or tokens[0], "missing value for command")
        pipe = self._commands(rest, names, sign == ":=")
        if sign == ":=":
            self._variables += names
        return pipe

    def _declaration(self, tokens: list[Token], most: int) -> tuple[list[str], str, list[Token]]:
        """Split ``$a, $b := …`` into names, sign and the rest."""
        names: list[str] = []
        position = 0
        while position + 1 < len(tokens) and tokens[position].kind == "variable":
            names.append(tokens[position].value)
            sign = tokens[position + 1].kind
            position += 2
            if sign in (":=", "="):
                if len(names) > most:
                    raise self._error(tokens[0], "too many declarations")
                if sign == "=" and not set(names) <= set(self._variables):
                    raise self._error(tokens[0], f"undefined variable {names[-1]}")
                return names, sign, tokens[position:]
            if sign != ",":
                break
        return [], "", tokens

    def _commands(self, tokens: list[Token], names: list[str], declares: bool) -> Pipe:
        commands: list[Command] = []
        position = 0
        place = self._place(tokens)
        while True:
            operands, position = self._operands(tokens, position)
            first = operands[0]
            if isinstance(first, Choice):
                first.operands = operands[1:]
            if commands and isinstance(first, (Literal, Dot, Variable)):
                raise self._error(tokens[position - 1], "non executable command in pipeline")
            commands.append(Command(first, operands[1:]))
            if position >= len(tokens):
                return Pipe(place, commands, names, declares)
            position += 1  # behind the |

    def _operands(self, tokens: list[Token], position: int) -> tuple[list[Term], int]:
        operands: list[Term] = []
        while position < len(tokens) and tokens[position].kind != "|":
            term, position = self._term(tokens, position)
            operands.append(term)
        if not operands:
            raise self._error(tokens[min(position, len(tokens) - 1)], "missing value for command")
        return operands, position

    def _term(self, tokens: list[Token], position: int) -> tuple[Term, int]:
        """Read one term with the fields that are tied to it."""
        start = position
        token = tokens[position]
        place = self._place(tokens[start : start + 1])
        position += 1
        term: Term
        names: list[str] = []
        if token.kind == "(":
            end = self._closing(tokens, start)
            term, position = self._nested(tokens[start + 1 : end], token), end + 1
        elif token.kind == "field":
            term, names = Dot(place), [token.value]
        elif token.kind == "dot":
            term = Dot(place)
        elif token.kind == "variable":
            if token.value not in self._variables:
                raise self._error(token, f"undefined variable {token.value!r}")
            term = Variable(place, token.value)
        elif token.kind == "word":
            term = self._word(token, place)
        elif token.kind in ("string", "number"):
            term = Literal(place, self._constant(token))
        else:
            raise self._error(token, f"unexpected {token.value!r} in operand")
        while position < len(tokens) and tokens[position].kind == "field":
            if tokens[position].spaced:
                break
            names.append(tokens[position].value)
            position += 1
        self.fields.update(names)
        if names:
            term = Fields(self._place(tokens[start:position]), term, names)
        return term, position

    def _nested(self, tokens: list[Token], opening: Token) -> Term:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(opening, f"parentheses are nested more than {_MAX_DEPTH} deep")
        if not tokens:
            raise self._error(opening, "missing value for parenthesized pipeline")
        pipe = self._commands(tokens, [], False)
        self._depth -= 1
        return pipe

    def _word(self, token: Token, place: Place) -> Term:
        if token.value in _CONSTANTS:
            return Literal(place, _CONSTANTS[token.value])
        if token.value in SHORT_CIRCUITS:
            return Choice(place, token.value)
        if token.value not in FUNCTIONS:
            raise self._error(token, f"function {token.value!r} not defined")
        return Call(place, token.value)

    def _constant(self, token: Token) -> Any:
        if token.kind == "string":
            return token.value
        try:
            whole = not set(token.value) & set(".pP") and not (
                set(token.value) & set("eE") and "x" not in token.value.lower()
            )
            return int(token.value, 0) if whole else float(token.value)
        except ValueError:
            raise self._error(token, f"bad number syntax: {token.value!r}") from None

    def _closing(self, tokens: list[Token], start: int) -> int:
        depth = 0
        for position in range(start, len(tokens)):
            depth += {"(": 1, ")": -1}.get(tokens[position].kind, 0)
            if depth == 0:
                return position
        raise self._error(tokens[start], "unclosed left paren")

    def _place(self, tokens: list[Token]) -> Place:
        last = tokens[-1]
        end = last.position + len(last.value) + (last.kind == "field")
        start = tokens[0].position
        return Place(self._text, start, self._text[start:end])

    def _error(self, token: Token, reason: str) -> TemplateError:
        return at_line(self._text, token.position, reason)
