"""Where a copy goes and what it is called there: the rules of docker cp, as functions of paths.

A path that ends with a slash means a directory, one that ends with ``/.`` what is in it.
Source: docker/cli, docs of ``docker container cp``; moby/go-archive, copy.go.
"""

from __future__ import annotations

import os

from casemate.cli.failure import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["directory", "other", "missing"]


class Source:
    """What is copied: the end of its path tells the name that it has in the archive.

    ``renamed`` is the name that was asked for, when a link led to another.
    """

    __slots__ = ("is_directory", "path", "renamed")

    def __init__(self, path: str, *, is_directory: bool, renamed: str = "") -> None:
        self.path = path
        self.is_directory = is_directory
        self.renamed = renamed

    @property
    def name(self) -> str:
        """The first part of every name in the archive."""
        return self.renamed or split(self.path)[1]


def split(path: str) -> tuple[str, str]:
    """Return the directory and the last part of ``path``; the last part of ``a/.`` is a dot."""
    clean = "/" + os.path.normpath(path).lstrip("/") if path.startswith("/") else _normal(path)
    if means_content(path):
        clean += "/."
    directory, _, last = clean.rstrip("/").rpartition("/")
    return directory or ("/" if clean.startswith("/") else "."), last or "/"


def _normal(path: str) -> str:
    return os.path.normpath(path or ".")


def means_content(path: str) -> bool:
    """Tell whether the path stands for what is in a directory."""
    return path in ("", ".") or path.endswith("/.")


def means_directory(path: str) -> bool:
    """Tell whether the path can only be a directory's."""
    return path.endswith("/") or means_content(path)


def placed(source: Source, target: str, kind: Kind) -> tuple[str, str]:
    """Return the directory into which the archive is unpacked, and what is copied is called there.

    ``kind`` is what is at ``target``. Raises Exit for what cannot be.
    """
    directory, name = split(target)
    if kind == "directory":
        return target, source.name
    if kind == "other" and source.is_directory:
        raise Exit(1, "cannot copy directory")
    if kind == "missing" and not source.is_directory and means_directory(target):
        raise Exit(1, "no such directory")
    return directory, name


def followed(asked: str, resolved: str) -> Source:
    """Return a source after its last link was followed to ``resolved``; the kind is not known."""
    if means_content(asked) and not means_content(resolved):
        resolved += "/."
    elif asked.endswith("/") and not resolved.endswith("/"):
        resolved += "/"
    wanted = split(asked)[1]
    renamed = "" if wanted == split(resolved)[1] else wanted
    return Source(resolved, is_directory=False, renamed=renamed)


def container_and_path(argument: str) -> tuple[str, str]:
    """Return the container and the path in it; the container is "" for a path here.

    ``./a:b`` and ``/a:b`` are here.
    """
    container, colon, path = argument.partition(":")
    if not colon or argument.startswith(("/", ".")):
        return "", argument
    return container, path
