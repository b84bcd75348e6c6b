"""The mount calls, old and new, and what is mounted.

Raises OSError untouched; for the calls on a file system context the kernel's own explanation is
put into the message. Source: man 2 mount, fsopen(2), fsconfig(2), fsmount(2), move_mount(2),
open_tree(2), mount_setattr(2); linux/mount.h; man 5 proc_pid_mountinfo.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from typing import NamedTuple

from casemate.linux.libc import (
    SYS_FSCONFIG,
    SYS_FSMOUNT,
    SYS_FSOPEN,
    SYS_MOUNT_SETATTR,
    SYS_MOVE_MOUNT,
    SYS_OPEN_TREE,
    check,
    libc,
)
from casemate.linux.libc import path as encoded

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000

MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

OPEN_TREE_CLONE = 0x1
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_SYMLINK_NOFOLLOW = 0x100

AT_FDCWD = -100

_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000  # linux/sched.h
_CLOEXEC = 1  # FSOPEN_CLOEXEC and FSMOUNT_CLOEXEC
_MOVE_F_EMPTY_PATH = 0x4
_MOVE_T_EMPTY_PATH = 0x40
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING = 0, 1
_FSCONFIG_CREATE = 6

#: Longest value that fsconfig takes as a string, in bytes (fs/fsopen.c).
STRING_MAX_BYTES = 255


class _Attributes(ctypes.Structure):
    """struct mount_attr."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class Mount(NamedTuple):
    """One line of mountinfo. ``root`` is the part of the file system that is mounted."""

    id: int
    parent: int
    device: str
    root: str
    path: str
    options: tuple[str, ...]
    propagation: tuple[str, ...]
    filesystem: str
    source: str
    super_options: tuple[str, ...]


def mount(source: str, target: str, filesystem: str, flags: int = 0, data: str = "") -> None:
    """Mount at the path ``target``; for binds and changes of propagation, too."""
    result = libc.mount(
        encoded(source),
        encoded(target),
        encoded(filesystem),
        ctypes.c_ulong(flags),
        encoded(data) if data else None,
    )
    check(result, "mount", target, source, filesystem)


def unmount(target: str, flags: int = 0) -> None:
    """Unmount what is mounted on top at the path ``target``; a link there is not followed."""
    check(libc.umount2(encoded(target), flags | UMOUNT_NOFOLLOW), "umount2", target)


def fsopen(filesystem: str) -> int:
    """Return a new file system context."""
    return check(libc.syscall(SYS_FSOPEN, encoded(filesystem), _CLOEXEC), "fsopen", filesystem)


def set_string(context: int, key: str, value: str) -> None:
    """Set an option. EINVAL also for a value longer than ``STRING_MAX_BYTES``."""
    raw = encoded(value) or b""
    if len(raw) > STRING_MAX_BYTES:
        raise OSError(errno.EINVAL, f"fsconfig: longer than {STRING_MAX_BYTES} bytes", value)
    _configure(context, _FSCONFIG_SET_STRING, key, raw)


def set_flag(context: int, key: str) -> None:
    """Set an option that has no value, such as ``ro``."""
    _configure(context, _FSCONFIG_SET_FLAG, key, None)


def create(context: int) -> None:
    """Make the superblock from the options set so far."""
    _configure(context, _FSCONFIG_CREATE, None, None)


def _configure(context: int, command: int, key: str | None, value: bytes | None) -> None:
    result = libc.syscall(SYS_FSCONFIG, context, command, encoded(key), value, 0)
    if result >= 0:
        return
    code = ctypes.get_errno()
    said = _messages(context) or os.strerror(code)
    raise OSError(code, f"fsconfig: {said}", os.fsdecode(value) if value else key)


def _messages(context: int) -> str:
    """Return what the kernel has to say about a context; the messages are consumed."""
    said = []
    try:
        while piece := os.read(context, 4096):
            said.append(piece.decode(errors="replace").strip()[2:])
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise
    return "; ".join(said)


def fsmount(context: int, attributes: int = 0) -> int:
    """Return a descriptor of a new mount that is attached nowhere; closing it unmounts."""
    result = libc.syscall(SYS_FSMOUNT, context, _CLOEXEC, attributes)
    return check(result, "fsmount")


def detached(
    filesystem: str, options: Iterable[tuple[str, str | None]], attributes: int = 0
) -> int:
    """Mount a file system nowhere and return the descriptor of the mount.

    An option whose value is None is a flag.
    """
    context = fsopen(filesystem)
    try:
        for key, value in options:
            if value is None:
                set_flag(context, key)
            else:
                set_string(context, key, value)
        create(context)
        return fsmount(context, attributes)
    finally:
        os.close(context)


def attach(mounted: int, target: str | int) -> None:
    """Attach a detached mount at ``target``, a path or a descriptor of a directory or file."""
    if isinstance(target, int):
        place, name, flags = target, b"", _MOVE_F_EMPTY_PATH | _MOVE_T_EMPTY_PATH
    else:
        place, name, flags = AT_FDCWD, encoded(target) or b"", _MOVE_F_EMPTY_PATH
    result = libc.syscall(SYS_MOVE_MOUNT, mounted, b"", place, name, flags)
    check(result, "move_mount", target)


def open_tree(path: str, flags: int = 0, *, directory: int = AT_FDCWD) -> int:
    """Return a descriptor of ``path``; with OPEN_TREE_CLONE, of a detached copy of its mount."""
    result = libc.syscall(SYS_OPEN_TREE, directory, encoded(path), flags | os.O_CLOEXEC)
    return check(result, "open_tree", path)


def set_attributes(
    mounted: int,
    set: int = 0,
    *,
    clear: int = 0,
    propagation: int = 0,
    userns: int = 0,
    flags: int = 0,
) -> None:
    """Change the attributes of the mount that ``mounted`` is a descriptor of.

    ``userns`` is a descriptor of the user namespace for MOUNT_ATTR_IDMAP; ``flags`` may hold
    AT_RECURSIVE.
    """
    change = _Attributes(set, clear, propagation, userns)
    result = libc.syscall(
        SYS_MOUNT_SETATTR,
        mounted,
        b"",
        AT_EMPTY_PATH | flags,
        ctypes.byref(change),
        ctypes.c_size_t(ctypes.sizeof(change)),
    )
    check(result, "mount_setattr")


def mounts(path: str = "/proc/self/mountinfo") -> list[Mount]:
    """Return what is mounted in this mount namespace, in the order of mounting."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return [_parsed(line) for line in file]


def _parsed(line: str) -> Mount:
    fields = line.rstrip("\n").split(" ")
    end = fields.index("-", 6)
    filesystem, source, super_options = fields[end + 1 : end + 4]
    return Mount(
        id=int(fields[0]),
        parent=int(fields[1]),
        device=fields[2],
        root=_plain(fields[3]),
        path=_plain(fields[4]),
        options=tuple(fields[5].split(",")),
        propagation=tuple(fields[6:end]),
        filesystem=filesystem,
        source=_plain(source),
        super_options=tuple(super_options.split(",")),
    )


def _plain(field: str) -> str:
    """Undo the kernel's escapes of blank, tab, newline and backslash."""
    if "\\" not in field:
        return field
    first, *rest = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def enter_private_namespace() -> None:
    """Give the calling thread a copy of the mount namespace in which nothing shows outside.

    It lives as long as the thread. Needs CAP_SYS_ADMIN.
    """
    check(libc.unshare(_CLONE_NEWNS), "unshare")
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def enter_namespace(descriptor: int) -> None:
    """Move the calling thread into a mount namespace: its root becomes that of the namespace.

    ``descriptor`` is of the namespace, or a pidfd of a process in it (Linux 5.8). A thread that has
    done so resolves every path in there: it opens what it came for, and ends.
    """
    check(libc.unshare(_CLONE_FS), "unshare")
    check(libc.setns(descriptor, _CLONE_NEWNS), "setns", descriptor)


def sync_filesystem(descriptor: int) -> None:
    """Write everything of the file system that holds ``descriptor`` to disk: man 2 syncfs."""
    check(libc.syncfs(descriptor), "syncfs")
