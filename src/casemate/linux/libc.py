"""The one handle on the C library, and the check that turns a failed call into an OSError.

Wrappers built on this take and return Python types and hold no policy.
"""

from __future__ import annotations

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

# Numbers from asm-generic/unistd.h; the calls after 424 have one number on every architecture.
SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_FSOPEN = 430
SYS_FSCONFIG = 431
SYS_FSMOUNT = 432
SYS_FSPICK = 433
SYS_PIDFD_OPEN = 434
SYS_CLOSE_RANGE = 436
SYS_OPENAT2 = 437
SYS_MOUNT_SETATTR = 442


def check(result: int, call: str, *names: object) -> int:
    """Return ``result`` of the C call ``call``, or raise OSError when it is negative.

    ``names`` (paths, descriptors, devices) are put into the message, the first one as filename.
    """
    if result >= 0:
        return result
    code = ctypes.get_errno()
    what = f"{call}: {os.strerror(code)}"
    if names:
        raise OSError(code, what, " ".join(str(n) for n in names))
    raise OSError(code, what)


def path(value: str | bytes | None) -> bytes | None:
    """Encode a path for the C library; None stays NULL. Raises ValueError for an embedded NUL."""
    if value is None:
        return None
    raw = os.fsencode(value)
    if b"\0" in raw:
        raise ValueError(f"embedded NUL in path {value!r}")
    return raw
