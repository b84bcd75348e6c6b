"""Landlock: what the kernel offers, and the numbers of its rights.

Source: linux/landlock.h; man 7 landlock; Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import errno

from casemate.linux.libc import check, libc

_SYS_CREATE_RULESET = 444
_CREATE_RULESET_VERSION = 1

# LANDLOCK_ACCESS_FS_*
WRITE_FILE = 1 << 1
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_CHAR = 1 << 6
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_SOCK = 1 << 9
MAKE_FIFO = 1 << 10
MAKE_BLOCK = 1 << 11
MAKE_SYM = 1 << 12
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15

# LANDLOCK_ACCESS_NET_*
BIND_TCP = 1 << 0
CONNECT_TCP = 1 << 1

# LANDLOCK_SCOPE_*
SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0

#: The first version of the interface that knows a right; the others are in every version.
SINCE_FILES = {REFER: 2, TRUNCATE: 3, IOCTL_DEV: 5}
SINCE_NETWORK = 4
SINCE_SCOPES = 6


def version() -> int:
    """Return the version of the kernel's interface, 0 when there is none or it is switched off."""
    result = libc.syscall(
        _SYS_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_CREATE_RULESET_VERSION)
    )
    if result < 0 and ctypes.get_errno() in (errno.ENOSYS, errno.EOPNOTSUPP):
        return 0
    return check(result, "landlock_create_ruleset")
