"""A command line, read by a table of options as docker (pflag) reads its own."""

from __future__ import annotations

from casemate.cli import options as table
from casemate.cli.failure import BadUsage
from casemate.cli.units import parse_bool
from casemate.client.amounts import parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casemate.cli.options import Option


class Arguments:
    """The options that were given, and the arguments behind them."""

    __slots__ = ("_options", "_values", "rest", "warnings")

    def __init__(self, options: Sequence[Option]) -> None:
        self._options = {option.name: option for option in options}
        self._values: dict[str, str | int | bool | list[str]] = {}
        self.rest: list[str] = []
        self.warnings: list[str] = []

    def given(self, name: str) -> bool:
        """Return whether the option was on the command line."""
        return name in self._values

    def switch(self, name: str) -> bool:
        """Return the state of a switch."""
        return bool(self._value(name))

    def number(self, name: str) -> int:
        """Return a whole number, 0 when it has no default."""
        return int(self._value(name) or 0)  # type: ignore[arg-type]

    def text(self, name: str) -> str:
        """Return a text, "" when it has no default."""
        return str(self._value(name) or "")

    def items(self, name: str) -> list[str]:
        """Return the values of an option that may be repeated, in order."""
        found = self._value(name)
        return found if isinstance(found, list) else []

    def refuse(self, name: str, reason: object, value: str | None = None) -> BadUsage:
        """Return the error for a value of the option ``name``; ``reason`` says the rule."""
        shown = self.text(name) if value is None else value
        spelling = self._options[name].spelling
        return BadUsage(f'invalid argument "{shown}" for "{spelling}" flag: {reason}')

    def put(self, option: Option, text: str) -> None:
        """Take one value. Raises BadUsage when it breaks the rule of the option's kind."""
        name = option.name
        try:
            if option.kind == table.SWITCH:
                self._values[name] = parse_bool(text)
            elif option.kind == table.INT:
                self._values[name] = parse_int(text)
            elif option.kind in table.REPEATED:
                self._values.setdefault(name, []).append(text)  # type: ignore[union-attr]
            else:
                self._values[name] = text
        except ValueError as error:
            raise self.refuse(name, error, text) from None

    def _value(self, name: str) -> str | int | bool | list[str] | None:
        if name in self._values:
            return self._values[name]
        return self._options[name].default


class HelpWanted(Exception):
    """``--help`` was on the command line."""


def parse(options: Sequence[Option], words: list[str], mixed: bool) -> Arguments:
    """Read ``words``. Raises BadUsage, or HelpWanted.

    With ``mixed`` options may follow arguments; else the first argument ends them.
    """
    found = Arguments(options)
    names = {name: option for option in options for name in (option.name, *option.aliases)}
    shorts = {option.short: option for option in options if option.short}
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            found.rest += words[position:]
            break
        if not word.startswith("-") or word == "-":
            found.rest.append(word)
            if not mixed:
                found.rest += words[position:]
                break
        elif word.startswith("--"):
            position += _long(word, words[position:], names, found)
        else:
            position += _short(word, words[position:], shorts, found)
    return found


def _long(word: str, following: list[str], names: dict[str, Option], found: Arguments) -> int:
    """Take ``--name[=value]``; return how many of the ``following`` words belong to it."""
    name, equals, value = word[2:].partition("=")
    if not name or name.startswith("-"):
        raise BadUsage(f"bad flag syntax: {word}")
    option = names.get(name)
    if option is None:
        if name == "help":
            raise HelpWanted
        raise BadUsage(f"unknown flag: --{name}", suggestions=_similar(name, names))
    if equals:
        _take(option, value, found)
        return 0
    if option.kind == table.SWITCH:
        _take(option, "true", found)
        return 0
    if not following:
        raise BadUsage(f"flag needs an argument: --{name}")
    _take(option, following[0], found)
    return 1


def _short(word: str, following: list[str], shorts: dict[str, Option], found: Arguments) -> int:
    """Take ``-abc``, ``-ovalue`` or ``-o=value``; return how many ``following`` words it took."""
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        option = shorts.get(letter)
        if option is None:
            if letter == "h":
                raise HelpWanted
            raise BadUsage(f"unknown shorthand flag: '{letter}' in {word}")
        if letters.startswith("="):
            _take(option, letters[1:], found)
            return 0
        if option.kind == table.SWITCH:
            _take(option, "true", found)
        elif letters:
            _take(option, letters, found)
            return 0
        elif following:
            _take(option, following[0], found)
            return 1
        else:
            raise BadUsage(f"flag needs an argument: '{letter}' in {word}")
    return 0


def _take(option: Option, value: str, found: Arguments) -> None:
    if option.name == "help":
        raise HelpWanted
    if option.replaced_by:
        found.warnings.append(
            f"Flag --{option.name} has been deprecated, use --{option.replaced_by} instead"
        )
    found.put(option, value)


def _similar(name: str, names: dict[str, Option]) -> list[str]:
    from difflib import get_close_matches

    return [f"--{n}" for n in get_close_matches(name, names, n=3, cutoff=0.7)]
