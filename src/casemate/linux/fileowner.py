"""Whose the files are that a thread makes, and who may use them.

Source: man 2 setfsuid, capset, unshare; linux/capability.h; linux/sched.h.
"""

from __future__ import annotations

import ctypes
import errno
import os

from casemate.linux.libc import check, libc

_VERSION_3 = 0x20080522
_CLONE_FS = 0x200


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def make_files_as(owner: int) -> None:
    """Have what the calling thread makes belong to user and group ``owner``, for good.

    In a file system that belongs to a user namespace only its own ids can make anything. The
    capabilities, which the kernel takes from who is not root, stay. Raises OSError.
    """
    header = _Header(_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()
    check(libc.capget(ctypes.byref(header), held), "capget")
    for call in (libc.setfsgid, libc.setfsuid):
        call(ctypes.c_uint32(owner))
        if ctypes.c_uint32(call(ctypes.c_uint32(0xFFFFFFFF))).value != owner:  # tells, changes none
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), f"owner {owner}")
    check(libc.capset(ctypes.byref(header), held), "capset")


def make_files_with(umask: int) -> None:
    """Have the calling thread, and those that it starts, a umask and a directory of their own.

    The other threads of the process keep theirs. Raises OSError.
    """
    check(libc.unshare(_CLONE_FS), "unshare")
    os.umask(umask)
