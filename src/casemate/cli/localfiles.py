"""The local side of a copy: a path as an archive, and an archive as files in a directory.

An archive may come from a container that means harm: names and links in it are looked up below the
target alone, what is made belongs to who has called, and attributes that give powers stay behind.
"""

from __future__ import annotations

import os
import stat

from casemate.cli.copypaths import Source, split
from casemate.cli.failure import Exit
from casemate.errors import NotFound, from_os
from casemate.layer import view
from casemate.layer.extract import Target, extract
from casemate.layer.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from casemate.cli.copypaths import Kind
    from casemate.layer.tar import Entry


def source(path: str, *, follow: bool) -> Source:
    """Return what is at a local ``path``; with ``follow`` a link there is followed."""
    from casemate.cli import copypaths

    try:
        if follow:
            found = copypaths.followed(path, os.path.realpath(path, strict=True))
        else:
            directory, name = os.path.split(path)
            resolved = os.path.join(os.path.realpath(directory or ".", strict=True), name)
            found = copypaths.followed(path, resolved)
        found.is_directory = stat.S_ISDIR(os.lstat(found.path).st_mode)
    except OSError as error:
        raise NotFound(f"lstat {path}: {(error.strerror or '').lower()}") from error
    return found


def kind_of(path: str) -> Kind:
    """Return what is at a local path, links followed. Raises Exit for a device."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise from_os(error, f"cannot copy to {path}") from error
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise Exit(1, f'"{path}" must be a directory or a regular file: got a device')
    return "directory" if stat.S_ISDIR(mode) else "other"


def archive(what: Source, name: str) -> Iterator[bytes]:
    """Yield the archive of a local source, in which it is called ``name``."""
    directory, last = split(what.path)
    try:
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield from _archive(place, last, name, is_directory=what.is_directory)
        finally:
            os.close(place)
    except OSError as error:
        raise from_os(error, f"cannot read {what.path}") from error


def _archive(place: int, last: str, name: str, *, is_directory: bool) -> Iterator[bytes]:
    found = view.entry(place, os.fsencode(last), os.fsencode(name))
    if not is_directory:
        yield from view.archive(found, None, _same)
        return
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    top = os.open(last, flags, dir_fd=place)
    try:
        yield from view.archive(found, top, _same)
    finally:
        os.close(top)


def _same(id_: int) -> int:
    return id_


def unpack(chunks: Iterable[bytes], directory: str, change: Callable[[Entry], Entry]) -> None:
    """Make what is in an archive in a local directory, each entry as ``change`` says.

    A directory does not give way to a file there, nor a file to a directory.
    """
    plain = Stream(chunks)
    try:
        root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            extract(plain, Target(root, b"/", "the archive", _ours(change), keep_kinds=True))
        finally:
            os.close(root)
    except OSError as error:
        raise from_os(error, f"cannot copy to {directory}") from error
    plain.drain()


def _ours(change: Callable[[Entry], Entry]) -> Callable[[Entry], Entry]:
    """Return ``change`` with the caller for the owner of everything."""
    uid, gid = os.geteuid(), os.getegid()

    def changed(entry: Entry) -> Entry:
        kept = {k: v for k, v in (entry.xattrs or {}).items() if k.startswith(b"user.")}
        return change(entry)._replace(uid=uid, gid=gid, xattrs=kept or None)

    return changed


def renamed(old: str, new: str) -> Callable[[Entry], Entry]:
    """Return the function that puts ``new`` for ``old`` at the beginning of names in an archive.

    That of a root is a slash, that of the content of a directory a dot.
    """
    before, after = os.fsencode(old), os.fsencode(new)

    def changed(entry: Entry) -> Entry:
        target = _renamed(entry.target, before, after) if entry.kind == "link" else entry.target
        return entry._replace(name=_renamed(entry.name, before, after), target=target)

    return changed


def _renamed(name: bytes, old: bytes, new: bytes) -> bytes:
    if name.rstrip(b"/") == old.rstrip(b"/"):
        return new
    prefix = old.rstrip(b"/") + b"/"
    return new + b"/" + name[len(prefix) :] if name.startswith(prefix) else name
