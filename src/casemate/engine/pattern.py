"""Regular expressions of clients, as Go's clients write them, searched for in time that is bounded.

``re`` tries one way after the other and can take for ever; here all ways go on at once, as a set of
positions. Source: Go, regexp/syntax, without flags, named groups and classes of Unicode.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_MAX_TEXT, _MAX_DEPTH, _MAX_REPEAT = 1000, 20, 1000
_ATOM = re.compile(
    r"\\[^a-zA-Z0-9]|\\[dDwWsSbBAz]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[()|*+?]", re.DOTALL
)
_REPEAT = re.compile(r"(?:([*+?])|\{(\d{1,4})(?:(,)(\d{1,4})?)?\})\??", re.ASCII)
_BOUNDS = {"*": (0, None), "+": (1, None), "?": (0, 1)}


class _Subject(NamedTuple):
    text: str
    length: int


_Positions = frozenset[int]
#: From positions in the text to those that are reached behind a part of the pattern.
_Step = Callable[[_Subject, _Positions], _Positions]


class Pattern:
    """One expression. Raises ValueError for what is none."""

    def __init__(self, text: str) -> None:
        if len(text) > _MAX_TEXT:
            raise ValueError(f"longer than {_MAX_TEXT} characters")
        parser = _Parser(text)
        self._step = parser.choice(0)
        if parser.rest:
            raise ValueError(f"unexpected {parser.rest[:1]}")

    def found_in(self, text: str) -> bool:
        """Tell whether some part of ``text`` matches."""
        return bool(self._step(_Subject(text, len(text)), frozenset(range(len(text) + 1))))


class _Parser:
    def __init__(self, text: str) -> None:
        self.rest = text

    def choice(self, depth: int) -> _Step:
        if depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} groups in each other")
        ways = [_sequence(tuple(self._parts(depth)))]
        while self._take("|"):
            ways.append(_sequence(tuple(self._parts(depth))))
        return ways[0] if len(ways) == 1 else _either(tuple(ways))

    def _parts(self, depth: int) -> Iterator[_Step]:
        while self.rest and self.rest[0] not in "|)":
            part = self._group(depth) if self._take("(") else self._atom()
            repeat = _REPEAT.match(self.rest)
            if repeat:
                self.rest = self.rest[repeat.end() :]
                part = _repeated(part, *_bounds(repeat))
                if _REPEAT.match(self.rest):
                    raise ValueError("a repetition of a repetition")
            yield part

    def _group(self, depth: int) -> _Step:
        if self.rest.startswith("?") and not self._take("?:"):
            raise ValueError(f"({self.rest[:2]} is not supported")
        inside = self.choice(depth + 1)
        if not self._take(")"):
            raise ValueError("a group without its end")
        return inside

    def _atom(self) -> _Step:
        match = _ATOM.match(self.rest)
        if not match:
            raise ValueError(f"unexpected {self.rest[:2]}")
        self.rest = self.rest[match.end() :]
        atom = match[0]
        if atom in _PLACES:
            return _place(_PLACES[atom])
        try:
            return _character(re.compile(atom, re.ASCII))
        except re.error as error:
            raise ValueError(str(error)) from None

    def _take(self, text: str) -> bool:
        if not self.rest.startswith(text):
            return False
        self.rest = self.rest[len(text) :]
        return True


def _bounds(repeat: re.Match[str]) -> tuple[int, int | None]:
    if repeat[1]:
        return _BOUNDS[repeat[1]]
    least = int(repeat[2])
    most = int(repeat[4]) if repeat[4] else None if repeat[3] else least
    if max(least, most or 0) > _MAX_REPEAT or (most is not None and most < least):
        raise ValueError(f"invalid repetition {repeat[0]}")
    return least, most


# \z is Python's \Z; $ is the very end, as without the flag m in Go.
_PLACES = {
    name: re.compile(text, re.ASCII)
    for name, text in (("^", r"\A"), (r"\A", r"\A"), ("$", r"\Z"), (r"\z", r"\Z"))
} | {name: re.compile(name, re.ASCII) for name in (r"\b", r"\B")}


def _place(pattern: re.Pattern[str]) -> _Step:
    return lambda s, at: frozenset(p for p in at if pattern.match(s.text, p))


def _character(pattern: re.Pattern[str]) -> _Step:
    return lambda s, at: frozenset(
        p + 1 for p in at if p < s.length and pattern.fullmatch(s.text, p, p + 1)
    )


def _sequence(parts: tuple[_Step, ...]) -> _Step:
    def step(subject: _Subject, at: _Positions) -> _Positions:
        for part in parts:
            if not at:
                break
            at = part(subject, at)
        return at

    return step


def _either(ways: tuple[_Step, ...]) -> _Step:
    return lambda s, at: frozenset().union(*(way(s, at) for way in ways))


def _repeated(part: _Step, least: int, most: int | None) -> _Step:
    def step(subject: _Subject, at: _Positions) -> _Positions:
        for _ in range(least):
            further = part(subject, at)
            if further == at:
                break  # and so it would go on: nothing, or all that can be reached
            at = further
        reached = new = at
        for _ in range(subject.length + 1 if most is None else most - least):
            new = part(subject, new) - reached
            if not new:
                break
            reached |= new
        return reached

    return step
