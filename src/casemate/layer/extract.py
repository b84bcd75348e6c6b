"""Unpack an archive into a directory that lives: of a container that may run and change it.

Names are resolved by the kernel inside the container's root, each directory once, and all that is
made is made in the open directory, new. So whatever is renamed or replaced meanwhile, nothing
outside of the root is looked at, written or described. Nothing is mounted over: what is a mount
point is not replaced. The rules of replacement are those of Docker's archive endpoint.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from casemate.errors import InvalidArgument
from casemate.layer import making, names
from casemate.layer.limits import DEFAULT, Limits
from casemate.layer.names import BadName, shown
from casemate.layer.stream import Source
from casemate.layer.tar import Entry, Reader
from casemate.layer.tree import Node, node_of
from casemate.layer.walk import walk
from casemate.linux import inroot
from casemate.linux.filesystem import made_up
from casemate.linux.inroot import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, open_in

_ENTRY = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
_NO_MOUNT = _ENTRY | RESOLVE_NO_XDEV
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

#: What opening a directory answers when it is none any more.
_REPLACED = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))
#: So often the container may put something where an entry is about to be made.
_RACES = 16


class Target(NamedTuple):
    """Where to, and by which rules.

    ``root`` is an open root, ``path`` an absolute path of a directory in it. ``change`` returns an
    entry as it is to be made; with ``keep_kinds`` a directory does not give way to a file, nor a
    file to a directory. ``what`` names the archive in errors.
    """

    root: int
    path: bytes
    what: str
    change: Callable[[Entry], Entry] = lambda entry: entry
    keep_kinds: bool = False


def extract(source: Source, target: Target, limits: Limits = DEFAULT) -> None:
    """Make everything in the archive ``source``; what came before an error stays.

    Raises InvalidArgument for the archive, DataLoss for one that ends too early, OSError.
    """
    with contextlib.closing(_Extraction(target, limits)) as extraction:
        reader = Reader(source, target.what, limits)
        for entry in reader:
            try:
                extraction.add(target.change(entry), reader)
            except BadName as error:
                raise InvalidArgument(f"{target.what}: entry {shown(entry.name)} {error}") from None
        extraction.finish()


class _Extraction:
    """One archive on its way: the directory that the last entry was in, and times to be set."""

    def __init__(self, target: Target, limits: Limits) -> None:
        self._target = target
        self._limits = limits
        self._parent = -1
        self._parent_path = b""
        self._times: dict[bytes, int] = {}

    def close(self) -> None:
        """Close the directory that is open."""
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1

    def add(self, entry: Entry, reader: Reader) -> None:
        """Make one entry."""
        path = self._inside(entry.name)
        if not path:
            if entry.kind != "directory":
                raise BadName(f"makes the target a {entry.kind}")
            return  # the directory itself stays as it is
        for attempt in range(_RACES):
            try:
                self._make(entry, reader, path)
                return
            except FileExistsError:  # somebody has made it, after what was there was removed
                if attempt == _RACES - 1:
                    raise

    def _make(self, entry: Entry, reader: Reader, path: bytes) -> None:
        parent, base = self._directory(path)
        if entry.kind == "directory":
            self._make_directory(entry, parent, base, path)
            return
        node = None if entry.kind == "link" else node_of(entry)
        self._clear(entry, parent, base)
        if node is None:
            self._link(entry, parent, base)
        elif entry.kind == "file":
            _make_file(node, reader, parent, base)
        elif entry.kind == "symlink":
            making.symlink(node, parent, base)
        else:
            making.special(node, parent, base)

    def finish(self) -> None:
        """Set the times of directories, which what was made in them has changed."""
        for path, mtime_ns in self._times.items():
            try:
                directory = open_in(self._target.root, self._absolute(path), _OPEN_DIRECTORY)
            except OSError as error:
                if error.errno not in _REPLACED:
                    raise
                continue
            try:
                os.utime(directory, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(directory)

    def _inside(self, name: bytes) -> bytes:
        """Return a name of the archive below the target, an absolute one too. Raises BadName."""
        return names.normal(name.lstrip(b"/"), self._limits.path_bytes)

    def _absolute(self, path: bytes) -> bytes:
        return self._target.path.rstrip(b"/") + b"/" + path

    def _directory(self, path: bytes) -> tuple[int, bytes]:
        """Return the open directory that holds ``path``, and the last part of ``path``."""
        parent_path, _, base = path.rpartition(b"/")
        if self._parent < 0 or parent_path != self._parent_path:
            self.close()
            parent = inroot.make_directories(self._target.root, self._absolute(parent_path))
            if kind := made_up(parent):
                os.close(parent)
                raise BadName(f"would be in a {kind} file system, which the kernel makes up")
            self._parent, self._parent_path = parent, parent_path
        return self._parent, base

    def _make_directory(self, entry: Entry, parent: int, base: bytes, path: bytes) -> None:
        node = node_of(entry)
        before = _status(parent, base)
        if before is None or not stat.S_ISDIR(before.st_mode):
            self._clear(entry, parent, base)
            os.mkdir(base, 0o700, dir_fd=parent)
        directory = open_in(parent, base, _OPEN_DIRECTORY, resolve=_ENTRY)
        try:
            if not made_up(directory):
                making.describe(node, directory)
                self._times[path] = node.mtime_ns
        finally:
            os.close(directory)

    def _clear(self, entry: Entry, parent: int, base: bytes) -> None:
        """Remove what has the name of an entry that cannot be merged with it."""
        before = _status(parent, base)
        if before is None:
            return
        was_directory = stat.S_ISDIR(before.st_mode)
        if self._target.keep_kinds and was_directory != (entry.kind == "directory"):
            kinds = ("directory", "non-directory")
            old, new = kinds if was_directory else kinds[::-1]
            place = shown(self._absolute(entry.name.rstrip(b"/")))
            top = shown(self._target.path)
            raise InvalidArgument(f"cannot overwrite {old} {place} with {new} {top}")
        with contextlib.suppress(FileNotFoundError):  # somebody else was faster
            _refuse_mounts(parent, base, was_directory=was_directory)
            inroot.remove_tree(parent, base)

    def _link(self, entry: Entry, parent: int, base: bytes) -> None:
        where = f"is a hard link to {shown(entry.target)}"
        try:
            path = self._inside(entry.target)
        except BadName as error:
            raise BadName(f"{where}, which {error}") from None
        if not path:
            raise BadName(f"{where}, which is a directory")
        directory, name = inroot.open_parent(self._target.root, self._absolute(path))
        try:
            os.link(name, base, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            raise BadName(f"{where}, which does not exist") from None
        finally:
            os.close(directory)


def _status(directory: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _make_file(node: Node, reader: Reader, parent: int, base: bytes) -> None:
    file = making.new_file(parent, base)
    try:
        _fill(node, reader, file)
        making.describe(node, file)
        os.utime(file, ns=(node.mtime_ns, node.mtime_ns))
    except BaseException:
        _take_back(file, parent, base)
        raise
    finally:
        os.close(file)


def _fill(node: Node, reader: Reader, file: int) -> None:
    """Write the data of the entry, each extent to its place."""
    extents = iter(node.extents if node.extents is not None else ((0, node.size),))
    place = left = 0
    for piece in reader.data():
        view = memoryview(piece)
        while view:
            if not left:
                place, left = next(extents)
            done = os.pwrite(file, view[:left], place)
            view, place, left = view[done:], place + done, left - done
    if node.extents is not None:
        os.ftruncate(file, node.size)


def _take_back(file: int, parent: int, base: bytes) -> None:
    """Remove a file that is not whole, unless it has another name or is another's by now."""
    with contextlib.suppress(OSError):
        found = _status(parent, base)
        if found is not None and os.path.samestat(found, os.fstat(file)):
            os.unlink(base, dir_fd=parent)


def _refuse_mounts(parent: int, base: bytes, *, was_directory: bool) -> None:
    """Raise OSError (EBUSY) when an entry, or what is below it, is a mount point.

    Seen from another mount namespace the kernel would let it go, and unmount it in the container.
    """
    try:
        os.close(open_in(parent, base, os.O_PATH | os.O_NOFOLLOW, resolve=_NO_MOUNT))
        if was_directory:
            top = open_in(parent, base, os.O_PATH | os.O_DIRECTORY, resolve=_NO_MOUNT)
            try:
                _refuse_mounts_below(top)
            finally:
                os.close(top)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise OSError(errno.EBUSY, "device or resource busy", os.fsdecode(base)) from None


def _refuse_mounts_below(top: int) -> None:
    for found in walk(top):
        with contextlib.suppress(FileNotFoundError):
            flags = os.O_PATH | os.O_NOFOLLOW
            os.close(open_in(found.directory, found.name, flags, resolve=_NO_MOUNT))
