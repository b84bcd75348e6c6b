"""The entry: global options, the command's own, and how everything ends as an exit status."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without enum, which signal imports
import os
import sys

from casemate.cli import tree
from casemate.cli.arguments import HelpWanted, parse
from casemate.cli.failure import BadUsage, Exit, Interrupted
from casemate.cli.options import LIST, SWITCH, Option
from casemate.cli.output import err, out
from casemate.cli.session import Session
from casemate.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.options import Command

GLOBAL_OPTIONS = (
    Option("config", "string", "Directory of docker's config.json (default ~/.docker)"),
    Option("host", LIST, "Address of the engine: unix:///path or tcp://host:port", short="H"),
    Option("root", "string", "Directory of everything that the engine keeps"),
    Option("run", "string", "Directory of the engine's socket and of what a reboot clears"),
    Option("version", SWITCH, "Print version information and quit", short="v"),
)
_BROKEN_PIPE = 128 + 13


def main() -> int:
    """Run the command line of the process, and end the process with the exit status.

    Everything is written and closed by then; to leave without Python's own farewell saves a tenth
    of a short command's time.
    """
    os._exit(run(sys.argv[1:]))


def run(words: list[str]) -> int:
    """Run a command line; return the exit status."""
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, _interrupt)
    try:
        return _run(words)
    except Interrupted as end:
        return end.status
    except BrokenPipeError:
        return _BROKEN_PIPE
    except Exit as end:
        _tell(str(end), end.hint)
        return end.status
    except Error as error:
        _tell(str(error), error.hint)
        return 1
    except OSError as error:
        _tell(f"casemate: {error}", None)
        return 1


def _run(words: list[str]) -> int:
    try:
        options = parse(GLOBAL_OPTIONS, words, mixed=False)
    except HelpWanted:
        return _help([])
    except BadUsage as error:
        raise Exit(error.status, _with_usage(error, "[OPTIONS] COMMAND [ARG...]", "")) from None
    rest = options.rest
    if options.switch("version"):
        from casemate import __version__

        out(f"casemate version {__version__}\n")
        return 0
    if not rest or rest[0] == "help":
        return _help(rest[1:])
    if rest[0] == "__complete":
        from casemate.cli.complete import complete

        return complete(rest[1:])
    module, path = tree.find(rest)
    if module is None:
        return _no_command(rest)
    command = load(module)
    with Session(" ".join(path), options) as session:
        return _call(session, module, command, rest[len(path) :])


def load(module: str) -> Command:
    """Return the command of ``module``."""
    name = f"casemate.cli.commands.{module}"
    __import__(name)
    return sys.modules[name].COMMAND  # type: ignore[no-any-return]


def _call(session: Session, module: str, command: Command, words: list[str]) -> int:
    try:
        arguments = parse(command.options, words, command.mixed)
        for warning in arguments.warnings:
            err(warning + "\n")
        if complaint := _miscounted(session.name, command, len(arguments.rest)):
            raise BadUsage(complaint, status=1)
        return command.run(session, arguments)
    except HelpWanted:
        from casemate.cli.usage import command_help

        out(command_help(session.path, module, command))
        return 0
    except BadUsage as error:
        shown = _with_usage(error, f"{session.path} {command.usage}".rstrip(), session.path)
        raise Exit(error.status, shown) from None


def _miscounted(name: str, command: Command, count: int) -> str:
    """Return what is wrong with the number of arguments, "" when nothing is."""
    least, most = command.least, command.most
    if count >= least and (most is None or count <= most):
        return ""
    if most == 0:
        wanted = "accepts no arguments"
    elif most == least:
        wanted = f"requires {least} {_arguments(least)}"
    elif most is None:
        wanted = f"requires at least {least} {_arguments(least)}"
    elif least == 0:
        wanted = f"requires at most {most} {_arguments(most)}"
    else:
        wanted = f"requires at least {least} and at most {most} {_arguments(most)}"
    return f"casemate: '{name}' {wanted}"


def _arguments(count: int) -> str:
    return "argument" if count == 1 else "arguments"


def _with_usage(error: BadUsage, line: str, path: str) -> str:
    parts = [str(error)]
    if error.suggestions:
        parts.append("Did you mean this?\n" + "\n".join(f"\t{s}" for s in error.suggestions))
    parts.append(f"Usage:  casemate {line}")
    name = f"casemate {path}".rstrip()
    parts.append(f"Run '{name} --help' for more information")
    return "\n\n".join(parts)


def _no_command(words: list[str]) -> int:
    """Show a group, or say that there is no such command."""
    if words[0] in tree.GROUPS and (len(words) < 2 or words[1] in ("--help", "-h", "help")):
        return _help(words[:1])
    group = words[0] if words[0] in tree.GROUPS else ""
    wrong = words[1] if group else words[0]
    name = f"casemate {group}".rstrip()
    if wrong.startswith("-"):
        raise Exit(125, f"unknown flag: {wrong}\n\nRun '{name} --help' for more information")
    known = tree.GROUPS[group][1] if group else {**tree.top(), **tree.GROUPS}
    from difflib import get_close_matches

    message = f"casemate: unknown command: {name} {wrong}"
    if similar := get_close_matches(wrong, known, n=3, cutoff=0.5):
        message += "\n\nDid you mean this?\n" + "\n".join(f"\t{s}" for s in similar)
    raise Exit(1, f"{message}\n\nRun '{name} --help' for more information")


def _help(topic: list[str]) -> int:
    from casemate.cli import usage

    if not topic:
        out(usage.program_help(GLOBAL_OPTIONS))
        return 0
    module, path = tree.find(topic)
    if module and len(path) == len(topic):
        out(usage.command_help(" ".join(path), module, load(module)))
    elif len(topic) == 1 and topic[0] in tree.GROUPS:
        out(usage.group_help(topic[0]))
    else:
        raise Exit(1, f"unknown help topic: {' '.join(topic)}")
    return 0


def _tell(message: str, hint: str | None) -> None:
    if message:
        err(message + "\n")
    if hint:
        err(f"hint: {hint}\n")


def _interrupt(number: int, _: Any) -> None:
    raise Interrupted(number)
