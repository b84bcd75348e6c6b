"""How overlayfs marks what it hides, read from a directory that is or was one of its layers.

Source: Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import errno
import os
import stat

OPAQUE = "trusted.overlay.opaque"
PREFIX = "trusted.overlay."


def is_whiteout(status: os.stat_result) -> bool:
    """Return whether an entry hides its name in the layers below."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def attributes(directory: int, name: bytes) -> dict[str, bytes]:
    """Return the extended attributes of the entry ``name``; a link is not followed."""
    path = b"/proc/self/fd/%d/%s" % (directory, name)
    found = {}
    for key in os.listxattr(path, follow_symlinks=False):
        try:
            found[key] = os.getxattr(path, key, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENODATA:  # removed meanwhile
                raise
    return found


def is_opaque(directory: int) -> bool:
    """Return whether the directory hides all that layers below have under its name."""
    try:
        return os.getxattr(f"/proc/self/fd/{directory}", OPAQUE) == b"y"
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
            raise
        return False
