"""Walk a directory that its owner may change at the same time, following nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from casemate.linux.inroot import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, open_in

_BELOW = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS

#: What opening a directory answers when it is none any more.
_REPLACED = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))


class Found(NamedTuple):
    """An entry: its path below the top, the open directory that holds it, its name there."""

    path: bytes
    directory: int
    name: bytes
    status: os.stat_result


def walk(top: int, enter: Callable[[int], bool] | None = None) -> Iterator[Found]:
    """Yield all entries below the directory ``top``: each directory in order of its names.

    A directory comes before what it holds. One directory is open at a time, and only until the
    next entry is asked for. What vanishes meanwhile is left out; a directory that was replaced by a
    link is not entered. A mount is refused (EXDEV); with ``enter`` it is entered, as is every open
    directory of which that says so. Raises OSError, also for a path longer than the kernel takes.
    """
    resolve = _BELOW if enter else _BELOW | RESOLVE_NO_XDEV
    ahead = [b""]
    while ahead:
        path = ahead.pop()
        try:
            directory = open_in(top, path, os.O_RDONLY | os.O_DIRECTORY, resolve=resolve)
        except OSError as error:
            if error.errno not in _REPLACED:
                raise
            continue
        try:
            if enter and not enter(directory):
                continue
            below = []
            for found in _entries(directory, path):
                if found.status.st_mode & 0o170000 == 0o040000:
                    below.append(found.path)
                yield found
            ahead += reversed(below)
        finally:
            os.close(directory)


def _entries(directory: int, path: bytes) -> Iterator[Found]:
    prefix = path + b"/" if path else b""
    for name in sorted(map(os.fsencode, os.listdir(directory))):
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield Found(prefix + name, directory, name, status)
