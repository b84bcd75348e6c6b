"""What a path in a container is, as Docker's archive endpoint tells it.

Source: Docker Engine API v1.47, ContainerArchiveInfo; Go's os.FileMode for the bits of ``mode``.
"""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from typing import NamedTuple

import msgspec

from casemate.engine.clock import rfc3339
from casemate.linux import inroot

#: As many links as one look-up may go through, as in Docker.
_HOPS = 255
#: The years 1000 and 9999.
_FIRST_NS, _LAST_NS = -30_610_224_000 * 10**9, 253_402_300_799 * 10**9
#: Bits of Go's FileMode by the file's type.
_TYPES = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_BITS = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}


class PathStat(msgspec.Struct, frozen=True, rename={"link_target": "linkTarget"}):
    """The entry at the end of a path. ``mtime`` is RFC 3339, ``size`` in bytes.

    ``link_target`` is where a link leads in the end, as an absolute path in the container.
    """

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str = ""


class Wanted(NamedTuple):
    """A path of the API, made plain.

    ``path`` is absolute, without ``.`` and ``..``; ``name`` is what its archive calls it.
    ``follows`` tells that it ends in a slash or a dot: what a link there leads to is meant.
    """

    path: str
    name: str
    follows: bool


def wanted(path: str) -> Wanted:
    """Return what ``path`` asks for."""
    plain = "/" + posixpath.normpath("/" + path).lstrip("/")
    follows = path.endswith(("/", "/.")) or path in ("", ".")
    dotted = path == "." or path.endswith("/.")
    return Wanted(plain, "." if dotted else posixpath.basename(plain) or "/", follows)


def opened(root: int, asked: Wanted) -> int:
    """Return a descriptor (O_PATH) of the entry; only a last link that is meant is followed."""
    flags = os.O_PATH | (os.O_DIRECTORY if asked.follows else os.O_NOFOLLOW)
    return inroot.open_in(root, asked.path, flags)


def look(root: int, asked: Wanted, found: int) -> PathStat:
    """Return what the entry ``found``, opened below ``root``, is."""
    status = os.fstat(found)
    target = resolved(root, asked.path) if stat.S_ISLNK(status.st_mode) else ""
    return PathStat(
        name=_text(asked.name),
        size=status.st_size,
        mode=go_mode(status.st_mode),
        mtime=_time(status.st_mtime_ns),
        link_target=_text(target),
    )


def _time(at_ns: int) -> str:
    """Return a file's time; one that RFC 3339 cannot tell becomes the nearest that it can."""
    return rfc3339(min(max(at_ns, _FIRST_NS), _LAST_NS)) if at_ns else "1970-01-01T00:00:00Z"


def go_mode(mode: int) -> int:
    """Return ``mode`` of stat(2) as Go's FileMode."""
    extra = sum(bit for mask, bit in _BITS.items() if mode & mask)
    return (mode & 0o777) | _TYPES.get(stat.S_IFMT(mode), 0) | extra


def resolved(root: int, path: str) -> str:
    """Return ``path`` without links, as far as what it names is there.

    For the client's information: whoever uses the answer has it resolved again.
    """
    done: list[str] = []
    ahead = path.split("/")[::-1]
    hops = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            del done[-1:]
        if part in ("", ".", ".."):
            continue
        target = _link(root, "/".join(done), part)
        if target is None:
            done.append(part)
            continue
        hops += 1
        if hops > _HOPS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith("/"):
            done.clear()
        ahead += target.split("/")[::-1]
    return "/" + "/".join(done)


def _link(root: int, parent: str, name: str) -> str | None:
    """Return the target of the link ``name``, None when there is none."""
    try:
        directory = inroot.open_in(root, parent, os.O_PATH | os.O_DIRECTORY)
        try:
            return os.readlink(name, dir_fd=directory)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
            raise
        return None


def _text(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
