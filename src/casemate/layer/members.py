"""Entries of a directory that may change meanwhile, as members of an archive that is always whole.

What vanishes is left out by the caller; a file that shrinks is filled up with zeros, one that grows
is cut at the size it had. Times are in whole seconds, so that the same directory gives the same
bytes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator

from casemate.layer import holes, write
from casemate.layer.stream import PIECE_BYTES
from casemate.layer.tar import Entry, Kind
from casemate.layer.walk import Found
from casemate.layer.xattrs import ACLS, OVERLAY
from casemate.linux.inroot import open_regular_entry

#: Sockets are not there: they are left out, as every engine does.
KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "fifo",
}
_SECOND = 1_000_000_000
#: What the calls on an entry answer when it is not any more what it was found to be.
REPLACED = frozenset((errno.ENOENT, errno.ELOOP, errno.EINVAL))


def kind_of(status: os.stat_result) -> Kind | None:
    """Return what an entry is, None for what an archive cannot hold."""
    return KINDS.get(stat.S_IFMT(status.st_mode))


class Members:
    """The members of one archive on their way: what was seen of hard links so far.

    With ``crossing`` files may be mounts. ``id_of`` returns how an id of a user or a group is told.
    """

    def __init__(
        self, *, crossing: bool = False, id_of: Callable[[int], int] = lambda id_: id_
    ) -> None:
        self._crossing = crossing
        self._id_of = id_of
        self._linked: dict[tuple[int, int], bytes] = {}

    def again(self, found: Found, kind: Kind) -> bytes | None:
        """Return the hard link to what has come before under another name, None when nothing."""
        first = self._linked.get((found.status.st_dev, found.status.st_ino))
        if first is None or found.status.st_nlink < 2 or kind == "directory":
            return None
        return write.member(self._described(found.path, "link", found.status, target=first))

    def whole(self, found: Found, kind: Kind, xattrs: dict[str, bytes]) -> Iterator[bytes]:
        """Yield one entry with its data; an error for what was replaced precedes the first byte."""
        path, status = found.path, found.status
        if kind == "file":
            yield from self._file(found, _kept(xattrs))
        else:
            link = kind == "symlink"
            target = os.readlink(found.name, dir_fd=found.directory) if link else b""
            yield write.member(self._described(path, kind, status, _kept(xattrs), target))
        if status.st_nlink > 1 and kind != "directory":
            self._linked[status.st_dev, status.st_ino] = path

    def _file(self, found: Found, xattrs: dict[bytes, bytes]) -> Iterator[bytes]:
        file = open_regular_entry(found.directory, found.name, crossing=self._crossing)
        try:
            status = os.fstat(file)
            extents = holes.extents(file, status)
            ranges = ((0, status.st_size),) if extents is None else extents
            stored = sum(length for _, length in ranges)
            entry = self._described(found.path, "file", status, xattrs)
            yield write.member(entry._replace(size=status.st_size, stored=stored, extents=extents))
            for offset, length in ranges:
                yield from _data(file, offset, length)
            yield write.padding(stored)
        finally:
            os.close(file)

    def _described(
        self,
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
            self._id_of(status.st_uid),
            self._id_of(status.st_gid),
            status.st_mtime_ns // _SECOND * _SECOND,
            target=target,
            major=os.major(status.st_rdev) if is_device else 0,
            minor=os.minor(status.st_rdev) if is_device else 0,
            xattrs=xattrs,
        )


def archive(parts: Iterable[bytes]) -> Generator[bytes, None, None]:
    """Yield the archive made of ``parts``, with its end, in pieces of bounded size."""
    pending = bytearray()
    for part in parts:
        pending += part
        if len(pending) >= PIECE_BYTES:
            yield bytes(pending)
            pending.clear()
    yield bytes(pending + write.END)


def _data(file: int, offset: int, length: int) -> Iterator[bytes]:
    """Yield exactly ``length`` bytes; zeros for what the file has lost meanwhile."""
    while length:
        piece = os.pread(file, min(length, PIECE_BYTES), offset)
        if not piece:
            piece = bytes(min(length, PIECE_BYTES))
        offset += len(piece)
        length -= len(piece)
        yield piece


def _kept(xattrs: dict[str, bytes]) -> dict[bytes, bytes]:
    """Return the attributes that belong to the file and not to this machine or to overlayfs."""
    found = {os.fsencode(key): value for key, value in xattrs.items()}
    return {key: value for key, value in found.items() if _is_kept(key)}


def _is_kept(key: bytes) -> bool:
    if key.startswith(b"trusted."):
        return not key.startswith(OVERLAY)
    return key.startswith(b"user.") or key == b"security.capability" or key in ACLS
