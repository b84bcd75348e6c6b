"""The writable layer of a container as an archive, or as a list of changes.

The container may go on while its layer is read. What vanishes is left out; a file that shrinks is
filled up with zeros, one that grows is cut at the size it had; the archive is always whole.
Sorted, with times in whole seconds, so that the same directory gives the same bytes. Sockets are
left out, as every engine does. Source: image-spec v1.1 layer.md.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from casemate.errors import FailedPrecondition, from_os
from casemate.layer import members, names, overlay, write
from casemate.layer.members import Members
from casemate.layer.names import shown
from casemate.layer.tar import Entry, Kind
from casemate.layer.walk import Found, walk
from casemate.linux.inroot import open_root

#: An overlay mounted with options that casemate never sets: its files are not what they seem.
_POINTERS = ("trusted.overlay.redirect", "trusted.overlay.metacopy", "trusted.overlay.whiteout")


def archive(upper: str, what: str) -> Iterator[bytes]:
    """Yield the tar of the layer in the directory ``upper``, in pieces of bounded size.

    ``what`` names it in errors: FailedPrecondition for what no layer can hold. Must be read to its
    end or closed.
    """
    with _opened(upper, what) as top:
        yield from members.archive(_Archive(top, what).parts())


@contextlib.contextmanager
def _opened(upper: str, what: str) -> Iterator[int]:
    try:
        top = open_root(upper)
        try:
            yield top
        finally:
            os.close(top)
    except OSError as error:
        raise from_os(error, f"cannot read the writable layer of {what}") from error


class _Archive:
    """One archive on its way."""

    def __init__(self, top: int, what: str) -> None:
        self._top = top
        self._what = what
        self._members = Members()

    def parts(self) -> Iterator[bytes]:
        root = Found(b".", self._top, b".", os.stat(".", dir_fd=self._top))
        yield from self._entry(root, "directory")
        for found in walk(self._top):
            if overlay.is_whiteout(found.status):
                yield _whiteout(found.path)
                continue
            kind = members.kind_of(found.status)
            if kind is None:
                continue
            if found.name.startswith(names.WHITEOUT):
                raise self._refused(found.path, "would be read as a whiteout")
            try:
                yield from self._entry(found, kind)
            except OSError as error:
                if error.errno not in members.REPLACED:
                    raise

    def _entry(self, found: Found, kind: Kind) -> Iterator[bytes]:
        again = self._members.again(found, kind)
        if again:
            yield again
            return
        xattrs = overlay.attributes(found.directory, found.name)
        for key in _POINTERS:
            if key in xattrs:
                rule = f"has the attribute {key}, of an overlay that hides data"
                raise self._refused(found.path, rule)
        yield from self._members.whole(found, kind, xattrs)
        if kind == "directory" and xattrs.get(overlay.OPAQUE) == b"y":
            yield write.member(_blank(found.path + b"/" + names.OPAQUE))

    def _refused(self, path: bytes, rule: str) -> FailedPrecondition:
        return FailedPrecondition(f"cannot make a layer of {self._what}: {shown(path)} {rule}")


def _blank(path: bytes) -> Entry:
    """Return an empty file that only marks something; its time must not change the archive."""
    return Entry(path, "file", 0, 0, 0, 0)


def _whiteout(path: bytes) -> bytes:
    directory, slash, name = path.rpartition(b"/")
    return write.member(_blank(directory + slash + names.WHITEOUT + name))


class Change(NamedTuple):
    """One line of ``docker diff``: C changed, A added, D deleted; ``path`` begins with a slash."""

    kind: Literal["A", "C", "D"]
    path: str


def changes(upper: str, below: Callable[[bytes], bool], what: str) -> Iterator[Change]:
    """Yield what the layer in ``upper`` changes, parents before children.

    ``below`` tells whether the layers below have a path (without a leading slash).
    """
    hidden: set[bytes] = set()
    with _opened(upper, what) as top:
        for found in walk(top):
            path, parent = found.path, found.path.rpartition(b"/")[0]
            exists = parent not in hidden and below(path)
            if overlay.is_whiteout(found.status):
                yield Change("D", _absolute(path))
                continue
            yield Change("C" if exists else "A", _absolute(path))
            if stat.S_ISDIR(found.status.st_mode) and (not exists or _is_opaque(found)):
                hidden.add(path)


def _absolute(path: bytes) -> str:
    return "/" + os.fsdecode(path)


def _is_opaque(found: Found) -> bool:
    return overlay.attributes(found.directory, found.name).get(overlay.OPAQUE) == b"y"
