"""Environment variables and labels, from the command line and from files."""

from __future__ import annotations

import os

from casemate.errors import InvalidArgument, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casemate.cli.arguments import Arguments

_MAX_LINE_BYTES = 64 << 10
_MAX_FILE_BYTES = 16 << 20


def environment(arguments: Arguments, proxies: Mapping[str, str]) -> list[str]:
    """Return the variables: those of files first, then those of ``--env``, the last one wins.

    A variable without a value gets ours; one that we do not have is sent without, which takes it
    away from the image's. ``proxies`` are added unless the variable is given.
    """
    found: list[str] = []
    for path in arguments.items("env-file"):
        found += read_pairs(path, os.environ)
    own: dict[str, str | None] = {}
    for text in arguments.items("env"):
        name, equals, value = text.partition("=")
        if not name:
            raise arguments.refuse("env", f"invalid environment variable: {text}", text)
        own[name] = value if equals else os.environ.get(name)
    for name, value in proxies.items():
        own.setdefault(name, value)
        own.setdefault(name.lower(), value)
    return found + [name if value is None else f"{name}={value}" for name, value in own.items()]


def labels(arguments: Arguments, files: str = "label-file") -> dict[str, str]:
    """Return the labels of files and of ``--label``; the last one of a name wins."""
    texts: list[str] = []
    for path in arguments.items(files) if files else []:
        texts += read_pairs(path, {})
    for text in arguments.items("label"):
        name = text.partition("=")[0].lstrip(" \t")
        if not name:
            raise arguments.refuse("label", f"invalid label '{text}': empty name", text)
        if " " in name or "\t" in name:
            raise arguments.refuse("label", f"label '{name}' contains whitespaces", text)
        texts.append(text)
    return dict(_pair(text) for text in texts)


def read_pairs(path: str, known: Mapping[str, str]) -> list[str]:
    """Return the lines ``NAME=value`` of a file; ``NAME`` alone gets its value from ``known``.

    Empty lines and those that begin with # are skipped. Raises InvalidArgument.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise from_os(error, "cannot read the file of variables") from error
    if len(data) > _MAX_FILE_BYTES:
        raise InvalidArgument(f"invalid env file ({path}): larger than {_MAX_FILE_BYTES} bytes")
    found = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        line = _line(path, number, raw)
        if not line or line.startswith("#"):
            continue
        name, equals, _ = line.partition("=")
        if not name:
            raise InvalidArgument(f"invalid env file ({path}): no variable name on line '{line}'")
        if " " in name or "\t" in name:
            raise InvalidArgument(
                f"invalid env file ({path}): variable '{name}' contains whitespaces"
            )
        if equals:
            found.append(line)
        elif name in known:
            found.append(f"{name}={known[name]}")
    return found


def pairs(texts: list[str]) -> dict[str, str]:
    """Return ``NAME=value`` texts as a map; one without ``=`` has an empty value."""
    return dict(_pair(text) for text in texts)


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _line(path: str, number: int, raw: bytes) -> str:
    if len(raw) > _MAX_LINE_BYTES:
        raise InvalidArgument(f"invalid env file ({path}): line {number} is too long")
    try:
        return raw.removesuffix(b"\r").decode("utf-8").lstrip()
    except UnicodeDecodeError:
        raise InvalidArgument(f"invalid env file ({path}): line {number} is not UTF-8") from None
