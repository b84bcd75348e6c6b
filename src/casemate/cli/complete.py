"""``__complete``: what may stand at the end of a command line, for the completion scripts.

Nothing is started and no error is shown: without an engine there are just no names.
"""

from __future__ import annotations

import os

from casemate.cli import tree
from casemate.cli.arguments import HelpWanted, parse
from casemate.cli.candidates import names_of
from casemate.cli.failure import BadUsage
from casemate.cli.options import SWITCH
from casemate.cli.output import clean, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from casemate.cli.arguments import Arguments
    from casemate.cli.options import Command, Option

    #: A candidate and what it is.
    Candidate = tuple[str, str]

_FILES = ":files"


def complete(words: list[str]) -> int:
    """Print the candidates for the last of ``words``, which may be empty."""
    words = words[1:] if words[:1] == ["--"] else words
    found, files = candidates(words or [""])
    for text, about in found:
        out(f"{clean(text)}\t{clean(about)}\n" if about else f"{clean(text)}\n")
    out(f"{_FILES if files else ':'}\n")
    return 0


def candidates(words: list[str]) -> tuple[list[Candidate], bool]:
    """Return the candidates for the last word, and whether files are candidates too."""
    from casemate.cli.main import GLOBAL_OPTIONS, load

    last = words[-1]
    try:
        options = parse(GLOBAL_OPTIONS, words[:-1], mixed=False)
    except (BadUsage, HelpWanted):
        return [], True  # the last option still lacks its value
    before = options.rest
    module, path = tree.find(before)
    if module is None:
        if not before:
            return _matching(_top(last, GLOBAL_OPTIONS), last), False
        if before[0] in tree.GROUPS and len(before) == 1:
            members = tree.GROUPS[before[0]][1]
            return _matching([(n, about) for n, (_, about) in members.items()], last), False
        return [], False
    return _of_command(load(module), before[len(path) :], last, options)


def _top(last: str, options: Sequence[Option]) -> list[Candidate]:
    if last.startswith("-"):
        return [(f"--{option.name}", option.help) for option in options]
    groups = [(name, about) for name, (about, _) in tree.GROUPS.items()]
    return [(name, about) for name, (_, about) in tree.top().items()] + groups


def _of_command(
    command: Command, before: list[str], last: str, options: Arguments
) -> tuple[list[Candidate], bool]:
    count, waiting, closed = _walk(command, before)
    if waiting:
        return _values(waiting, last, "", options)
    if last.startswith("-") and not closed:
        name, equals, value = last.partition("=")
        option = _option(name, command.options) if equals else None
        if option and option.kind != SWITCH:
            return _values(option, value, f"{name}=", options)
        return _matching(_option_names(command), last), False
    if command.suggest_up_to is not None and count >= command.suggest_up_to:
        return [], False
    found, files = names_of(command.suggest, options)
    taken = set(before) if command.suggest_up_to is None else set()
    return _matching([pair for pair in found if pair[0] not in taken], last), files


def _walk(command: Command, words: list[str]) -> tuple[int, Option | None, bool]:
    """Return the number of arguments, the option that lacks its value, whether options ended."""
    count, waiting = 0, None
    for word in words:
        if waiting:
            waiting = None
        elif word == "--" or (count and not command.mixed):
            return count + (word != "--"), None, True
        elif word.startswith("-") and word != "-":
            option = _option(word, command.options)
            needs = option is not None and option.kind != SWITCH and "=" not in word
            waiting = option if needs else None
        else:
            count += 1
    return count, waiting, bool(count) and not command.mixed


def _option(word: str, options: Sequence[Option]) -> Option | None:
    """Return the option that ``word`` ends with: ``--name``, ``-n``, the last of ``-it``."""
    name = word.partition("=")[0]
    for option in options:
        if name in (f"--{option.name}", *(f"--{alias}" for alias in option.aliases)):
            return option
        if option.short and not name.startswith("--") and name[-1:] == option.short:
            return option
    return None


def _option_names(command: Command) -> list[Candidate]:
    shown = [o for o in command.options if not o.hidden]
    return [(f"--{o.name}", o.help.split("\n")[0]) for o in shown] + [("--help", "Print usage")]


def _values(
    option: Option, text: str, prefix: str, options: Arguments
) -> tuple[list[Candidate], bool]:
    if option.suggest == "environment":
        found, files = [(f"{name}=", "") for name in sorted(os.environ)], False
    else:
        found, files = names_of(option.suggest, options)
    return [(prefix + name, about) for name, about in _matching(found, text)], files


def _matching(found: list[Candidate], text: str) -> list[Candidate]:
    return [pair for pair in found if pair[0].startswith(text)]
