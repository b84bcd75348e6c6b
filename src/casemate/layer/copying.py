"""Copy parts of files inside the kernel, as far as the file systems can."""

from __future__ import annotations

import errno
import os

from casemate.layer.stream import PIECE_BYTES

#: What file systems and kernels answer that cannot do it for these two files.
_CANNOT = frozenset((errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP))


def copy_range(source: int, offset: int, target: int, place: int, count: int) -> None:
    """Copy ``count`` bytes at ``offset`` of ``source`` to ``place`` of ``target``.

    Raises OSError; EIO when the source ends before that.
    """
    while count:
        try:
            done = os.copy_file_range(source, target, count, offset, place)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
            done = os.pwrite(target, os.pread(source, min(count, PIECE_BYTES), offset), place)
        if not done:
            raise OSError(errno.EIO, f"the file ends {count} bytes too early")
        offset += done
        place += done
        count -= done
