"""The writable layer of a container as an archive, or as a list of changes.

The container may go on while its layer is read. What vanishes is left out; a file that shrinks is
filled up with zeros, one that grows is cut at the size it had; the archive is always whole.
Sorted, with times in whole seconds, so that the same directory gives the same bytes. Sockets are
left out, as every engine does. Source: image-spec v1.1 layer.md.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from casemate.errors import FailedPrecondition, from_os
from casemate.layer import holes, names, overlay, write
from casemate.layer.names import shown
from casemate.layer.stream import PIECE_BYTES
from casemate.layer.tar import Entry, Kind
from casemate.layer.walk import Found, walk
from casemate.layer.xattrs import ACLS
from casemate.linux.inroot import open_regular_entry, open_root

_KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "fifo",
}
_SECOND = 1_000_000_000
#: An overlay mounted with options that casemate never sets: its files are not what they seem.
_POINTERS = ("trusted.overlay.redirect", "trusted.overlay.metacopy", "trusted.overlay.whiteout")
#: What the calls on an entry answer when it is not any more what it was found to be.
_REPLACED = frozenset((errno.ENOENT, errno.ELOOP, errno.EINVAL))


def archive(upper: str, what: str) -> Iterator[bytes]:
    """Yield the tar of the layer in the directory ``upper``, in pieces of bounded size.

    ``what`` names it in errors: FailedPrecondition for what no layer can hold. Must be read to its
    end or closed.
    """
    pending = bytearray()
    with _opened(upper, what) as top:
        for piece in _Archive(top, what).pieces():
            pending += piece
            if len(pending) >= PIECE_BYTES:
                yield bytes(pending)
                pending.clear()
    yield bytes(pending + write.END)


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
    """One archive on its way: what was seen of hard links so far."""

    def __init__(self, top: int, what: str) -> None:
        self._top = top
        self._what = what
        self._linked: dict[int, bytes] = {}

    def pieces(self) -> Iterator[bytes]:
        root = Found(b".", self._top, b".", os.stat(".", dir_fd=self._top))
        yield from self._entry(root, "directory")
        for found in walk(self._top):
            if overlay.is_whiteout(found.status):
                yield _whiteout(found.path)
                continue
            kind = _KINDS.get(stat.S_IFMT(found.status.st_mode))
            if kind is None:
                continue
            if found.name.startswith(names.WHITEOUT):
                raise self._refused(found.path, "would be read as a whiteout")
            try:
                yield from self._entry(found, kind)
            except OSError as error:
                if error.errno not in _REPLACED:
                    raise

    def _entry(self, found: Found, kind: Kind) -> Iterator[bytes]:
        """Yield one entry with its data; an error for what was replaced precedes the first byte."""
        path, status = found.path, found.status
        many = status.st_nlink > 1 and kind != "directory"
        if many and (first := self._linked.get(status.st_ino)) is not None:
            yield write.member(_described(path, "link", status, target=first))
            return
        xattrs = overlay.attributes(found.directory, found.name)
        for key in _POINTERS:
            if key in xattrs:
                raise self._refused(path, f"has the attribute {key}, of an overlay that hides data")
        if kind == "file":
            yield from _file(found, _kept(xattrs))
        else:
            link = kind == "symlink"
            target = os.readlink(found.name, dir_fd=found.directory) if link else b""
            yield write.member(_described(path, kind, status, _kept(xattrs), target))
        if kind == "directory" and xattrs.get(overlay.OPAQUE) == b"y":
            yield write.member(_blank(path + b"/" + names.OPAQUE))
        if many:
            self._linked[status.st_ino] = path

    def _refused(self, path: bytes, rule: str) -> FailedPrecondition:
        return FailedPrecondition(f"cannot make a layer of {self._what}: {shown(path)} {rule}")


def _file(found: Found, xattrs: dict[bytes, bytes]) -> Iterator[bytes]:
    file = open_regular_entry(found.directory, found.name)
    try:
        status = os.fstat(file)
        extents = holes.extents(file, status)
        ranges = ((0, status.st_size),) if extents is None else extents
        stored = sum(length for _, length in ranges)
        entry = _described(found.path, "file", status, xattrs)
        yield write.member(entry._replace(size=status.st_size, stored=stored, extents=extents))
        for offset, length in ranges:
            yield from _data(file, offset, length)
        yield write.padding(stored)
    finally:
        os.close(file)


def _data(file: int, offset: int, length: int) -> Iterator[bytes]:
    """Yield exactly ``length`` bytes; zeros for what the file has lost meanwhile."""
    while length:
        piece = os.pread(file, min(length, PIECE_BYTES), offset)
        if not piece:
            piece = bytes(min(length, PIECE_BYTES))
        offset += len(piece)
        length -= len(piece)
        yield piece


def _described(
    path: bytes,
    kind: Kind,
    status: os.stat_result,
    xattrs: dict[bytes, bytes] | None = None,
    target: bytes = b"",
) -> Entry:
    is_device = kind in ("character", "block")
    return Entry(
        path,
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns // _SECOND * _SECOND,
        target=target,
        major=os.major(status.st_rdev) if is_device else 0,
        minor=os.minor(status.st_rdev) if is_device else 0,
        xattrs=xattrs,
    )


def _blank(path: bytes) -> Entry:
    """Return an empty file that only marks something; its time must not change the archive."""
    return Entry(path, "file", 0, 0, 0, 0)


def _whiteout(path: bytes) -> bytes:
    directory, slash, name = path.rpartition(b"/")
    return write.member(_blank(directory + slash + names.WHITEOUT + name))


def _kept(xattrs: dict[str, bytes]) -> dict[bytes, bytes]:
    """Return the attributes that belong to the file and not to this machine or to overlayfs."""
    found = {os.fsencode(key): value for key, value in xattrs.items()}
    return {key: value for key, value in found.items() if _is_kept(key)}


def _is_kept(key: bytes) -> bool:
    if key.startswith(b"trusted."):
        return not key.startswith(overlay.PREFIX.encode())
    return key.startswith(b"user.") or key == b"security.capability" or key in ACLS


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
