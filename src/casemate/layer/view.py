"""A part of a root as somebody sees it, as an archive: with all that is mounted in it.

Unlike the archive of a layer (diff.py) it holds no marks of what is hidden. The file systems that
the kernel makes up are empty directories in it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Iterator

from casemate.layer import members, overlay
from casemate.layer.members import Members
from casemate.layer.walk import Found, walk
from casemate.linux.filesystem import made_up


def archive(
    found: Found, top: int | None, id_of: Callable[[int], int]
) -> Generator[bytes, None, None]:
    """Yield the tar of the entry ``found``, which is named by its path, in pieces of bounded size.

    ``top`` is the same entry as an open directory, and all below it is in the archive; None for
    what is none. ``id_of`` returns how an owner is told. Must be read to its end or closed. Raises
    OSError.
    """
    return members.archive(_parts(found, top, Members(crossing=True, id_of=id_of)))


def _parts(first: Found, top: int | None, made: Members) -> Iterator[bytes]:
    yield from _entry(made, first)
    if top is None:
        return
    prefix = first.path.rstrip(b"/") + b"/"
    for found in walk(top, lambda directory: not made_up(directory)):
        try:
            yield from _entry(made, found._replace(path=prefix + found.path))
        except OSError as error:
            if error.errno not in members.REPLACED:
                raise


def _entry(made: Members, found: Found) -> Iterator[bytes]:
    kind = members.kind_of(found.status)
    if kind is None:
        return
    again = made.again(found, kind)
    if again:
        yield again
        return
    yield from made.whole(found, kind, _attributes(found))


def _attributes(found: Found) -> dict[str, bytes]:
    try:
        return overlay.attributes(found.directory, found.name)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        return {}


def entry(directory: int, name: bytes, path: bytes) -> Found:
    """Return the entry ``name`` of an open directory, to be called ``path``. Raises OSError."""
    return Found(path, directory, name, os.stat(name, dir_fd=directory, follow_symlinks=False))
