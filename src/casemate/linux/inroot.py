"""Open, read, make and remove names below a root directory whose content an attacker wrote.

Every name is resolved by the kernel inside the root: absolute links and ``..`` stay in it, magic
links of procfs are refused. What comes back is a descriptor, so nothing is looked up twice.
Source: man 2 openat2, linux/openat2.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from casemate.linux.libc import SYS_OPENAT2, check, libc
from casemate.linux.libc import path as encoded

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

#: A directory entry itself, never what a link of that name points to, never another mount.
_PLAIN = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV

#: The kernel answers EAGAIN when a rename or mount raced a ``..``; an attacker can do so for ever.
_RACES = 128

#: Directories held open at once by ``remove_tree``.
_DEPTH = 64

Path = str | bytes


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


_HOW_SIZE = ctypes.c_size_t(ctypes.sizeof(_OpenHow))


def open_root(path: Path) -> int:
    """Return a descriptor of the directory ``path``, to be the root of the calls below."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def open_in(
    root: int,
    path: Path,
    flags: int = os.O_PATH,
    mode: int = 0,
    *,
    resolve: int = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
) -> int:
    """Open ``path`` below the directory ``root`` and return a descriptor (close on exec).

    ``""`` and ``"/"`` are the root itself. ``resolve`` replaces the in-root rule by a stricter
    one. Raises OSError: ELOOP for a refused link, EXDEV for a refused crossing, EAGAIN when
    somebody kept renaming directories under the look-up.
    """
    name = encoded(path) or b""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    arguments = (SYS_OPENAT2, root, name.strip(b"/") or b".", ctypes.byref(how), _HOW_SIZE)
    for _ in range(_RACES):
        descriptor = libc.syscall(*arguments)
        if descriptor >= 0 or ctypes.get_errno() != errno.EAGAIN:
            break
    return check(descriptor, "openat2", os.fsdecode(name))


def path_of(descriptor: int) -> str:
    """Return a path that stands for an open file itself, for calls that take no O_PATH descriptor.

    The descriptor is ours, so this link of procfs is not the attacker's.
    """
    return f"/proc/self/fd/{descriptor}"


def make_directories(root: int, path: Path, mode: int = 0o755) -> int:
    """Make the directory ``path`` and its missing parents; return a descriptor (O_PATH) of it.

    Links on the way are followed inside the root; a dangling one is an error (ENOENT). Directories
    that exist keep their mode. ``mode`` is subject to the umask.
    """
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        return open_in(root, path, flags)
    except FileNotFoundError:
        pass
    parts = [part for part in os.fsencode(path).split(b"/") if part not in (b"", b".")]
    parent = open_in(root, b".", flags)
    for end, part in enumerate(parts, 1):
        try:
            if part != b"..":
                _make_directory(parent, part, mode)
            child = open_in(root, b"/".join(parts[:end]), flags)
        finally:
            os.close(parent)
        parent = child
    return parent


def _make_directory(parent: int, name: bytes, mode: int) -> None:
    try:
        os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        pass


def open_regular(root: int, path: Path) -> int:
    """Open the regular file ``path`` below ``root`` for reading.

    Anything else, such as a fifo or a device, is refused (EINVAL) without having been opened.
    """
    return _regular(open_in(root, path), path)


def open_regular_entry(directory: int, name: Path, *, crossing: bool = False) -> int:
    """Open the regular file ``name`` in ``directory`` as ``open_regular`` does; follow no link.

    A link is refused with ELOOP, a mount with EXDEV unless ``crossing``.
    """
    resolve = _PLAIN & ~RESOLVE_NO_XDEV if crossing else _PLAIN
    return _regular(open_in(directory, name, resolve=resolve), name)


def _regular(found: int, path: Path) -> int:
    """Open for reading what the O_PATH descriptor ``found``, which is closed, stands for."""
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fsdecode(path))
        return os.open(path_of(found), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        os.close(found)


def read_file(root: int, path: Path, limit_bytes: int) -> bytes:
    """Return the content of the regular file ``path`` below ``root``.

    A file of more than ``limit_bytes`` is refused (EFBIG), not cut.
    """
    descriptor = open_regular(root, path)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        content = bytearray()
        while piece := file.read(min(limit_bytes + 1 - len(content), 1 << 20)):
            content += piece
            if len(content) > limit_bytes:
                raise OSError(errno.EFBIG, f"longer than {limit_bytes} bytes", os.fsdecode(path))
    return bytes(content)


def open_parent(root: int, path: Path) -> tuple[int, bytes]:
    """Return a descriptor of the directory that holds ``path``, and the last name of ``path``.

    Raises OSError (EINVAL) for a path that names the root itself or ends in ``..``.
    """
    parent, _, name = os.fsencode(path).rstrip(b"/").rpartition(b"/")
    if name in (b"", b".", b".."):
        raise OSError(errno.EINVAL, "not the name of an entry", os.fsdecode(path))
    return open_in(root, parent, os.O_PATH | os.O_DIRECTORY), name


def remove(root: int, path: Path) -> None:
    """Remove ``path`` below ``root``, a directory with all it holds; a last link is not followed.

    Raises FileNotFoundError.
    """
    parent, name = open_parent(root, path)
    try:
        remove_tree(parent, name)
    finally:
        os.close(parent)


def remove_tree(parent: int, name: Path) -> None:
    """Remove the entry ``name`` of the directory ``parent``, a directory with all it holds.

    Follows no link and enters no mount (EXDEV). Holds at most ~64 descriptors however deep the
    tree is. Raises FileNotFoundError when ``name`` itself does not exist.
    """
    try:
        os.unlink(name, dir_fd=parent)
        return
    except IsADirectoryError:
        if _remove_empty(parent, name):
            return
    top = _open_child(parent, name)
    try:
        while _clear(top, top, 0):
            pass
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _remove_empty(parent: int, name: Path) -> bool:
    """Remove a directory if it is empty: most are, and to open and list it costs more."""
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
            raise
        return False
    return True


def _clear(top: int, directory: int, depth: int) -> bool:
    """Empty ``directory``; return whether something deep was moved up to ``top`` meanwhile."""
    moved = False
    with os.scandir(directory) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]
    for name, is_directory in entries:
        try:
            if not is_directory:
                os.unlink(name, dir_fd=directory)
            elif _remove_empty(directory, name):
                continue
            elif depth >= _DEPTH:
                _hoist(top, directory, name)
                moved = True
            else:
                moved |= _clear_child(top, directory, name, depth)
        except FileNotFoundError:
            continue
    return moved


def _clear_child(top: int, directory: int, name: str, depth: int) -> bool:
    child = _open_child(directory, name)
    try:
        moved = _clear(top, child, depth + 1)
    finally:
        os.close(child)
    os.rmdir(name, dir_fd=directory)
    return moved


def _open_child(parent: int, name: Path) -> int:
    return open_in(parent, name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, resolve=_PLAIN)


def _hoist(top: int, directory: int, name: str) -> None:
    """Move a directory that lies too deep up to ``top``, under a name that is free there."""
    target = f".deep-{os.urandom(8).hex()}"
    os.rename(name, target, src_dir_fd=directory, dst_dir_fd=top)
