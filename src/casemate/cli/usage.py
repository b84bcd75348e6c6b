"""``--help`` and what is shown with a wrong command line, in docker's layout."""

from __future__ import annotations

from casemate.cli import options as kinds
from casemate.cli import tree
from casemate.cli.output import terminal_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from casemate.cli.options import Command, Option

PROGRAM = "casemate"
_DEFAULT_WIDTH = 80
#: A help text is given at least so many columns.
_MIN_COLUMNS = 24


def usage_line(path: str, command: Command) -> str:
    """Return the line behind ``Usage:``."""
    return f"{PROGRAM} {path} {command.usage}".rstrip()


def command_help(path: str, module: str, command: Command) -> str:
    """Return the help of one command."""
    summary = tree.summary_of(module)
    parts = [f"Usage:  {usage_line(path, command)}", command.about or summary]
    paths = tree.paths_of(module)
    if len(paths) > 1:
        parts.append("Aliases:\n  " + ", ".join(f"{PROGRAM} {p}" for p in paths))
    if command.examples:
        parts.append("Examples:\n" + "\n".join(f"  {line}" for line in command.examples))
    if shown := option_lines(command.options):
        parts.append("Options:\n" + shown)
    return "\n\n".join(parts) + "\n"


def group_help(group: str) -> str:
    """Return the help of a group of commands."""
    about, members = tree.GROUPS[group]
    return "\n\n".join(
        [
            f"Usage:  {PROGRAM} {group} COMMAND",
            about,
            "Commands:\n" + _listed({name: text for name, (_, text) in sorted(members.items())}),
            f"Run '{PROGRAM} {group} COMMAND --help' for more information on a command.\n",
        ]
    )


def program_help(global_options: Sequence[Option]) -> str:
    """Return the help of the whole program."""
    groups = {name: about for name, (about, _) in tree.GROUPS.items()}
    return "\n\n".join(
        [
            f"Usage:  {PROGRAM} [OPTIONS] COMMAND",
            "Runs any OCI image behind the walls that you choose",
            "Common Commands:\n" + _listed({n: text for n, (_, text) in tree.COMMON.items()}),
            "Management Commands:\n" + _listed(groups),
            "Commands:\n" + _listed({n: text for n, (_, text) in tree.OTHERS.items()}),
            "Global Options:\n" + option_lines(global_options),
            f"Run '{PROGRAM} COMMAND --help' for more information on a command.\n",
        ]
    )


def option_lines(options: Sequence[Option]) -> str:
    """Return the table of options, wrapped to the terminal."""
    shown = sorted((o for o in options if not o.hidden), key=lambda o: o.name)
    width = (terminal_size()[1] or _DEFAULT_WIDTH) - 1
    heads = [_head(option) for option in shown]
    column = max(map(len, heads), default=0) + 3
    return "\n".join(
        head.ljust(column) + _wrapped(option.help + _default(option), column, width)
        for head, option in zip(heads, shown, strict=True)
    )


def _head(option: Option) -> str:
    short = f"-{option.short}, " if option.short else "    "
    kind = f" {option.kind}" if option.kind else ""
    return f"  {short}--{option.name}{kind}"


def _default(option: Option) -> str:
    if option.default in (None, "", 0, False):
        return ""
    if option.kind == "string":
        return f' (default "{option.default}")'
    shown = str(option.default)
    return f" (default {shown.lower() if option.kind == kinds.SWITCH else shown})"


def _wrapped(text: str, column: int, width: int) -> str:
    room = max(width - column, _MIN_COLUMNS)
    lines = []
    for paragraph in text.split("\n"):
        line = paragraph
        while len(line) > room:
            cut = line.rfind(" ", 0, room + 1)
            if cut <= 0:
                break
            lines.append(line[:cut].rstrip())
            line = line[cut + 1 :]
        lines.append(line)
    return ("\n" + " " * column).join(lines)


def _listed(entries: Mapping[str, str]) -> str:
    column = max(11, *map(len, entries)) + 1
    return "\n".join(f"  {name.ljust(column)}{text}" for name, text in entries.items())
