"""Where the data of a sparse file is."""

from __future__ import annotations

import errno
import os

from casemate.layer.header import BLOCK
from casemate.layer.sparse import Extent

#: Holes smaller than this in all are written out: a sparse entry has its price, too.
_WORTH_BYTES = 1 << 20
#: A file with more extents than this is written out.
_EXTENTS_MAX = 65_536


def extents(file: int, status: os.stat_result) -> tuple[Extent, ...] | None:
    """Return the extents of a sparse file in whole blocks, or None if it is not worth it."""
    size = status.st_size
    if size - status.st_blocks * BLOCK < _WORTH_BYTES:
        return None
    found: list[Extent] = []
    end = 0
    while end < size and len(found) <= _EXTENTS_MAX:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
            end = os.lseek(file, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no data after this
                break
            if error.errno == errno.EINVAL:  # the file system does not tell
                return None
            raise
        _add(found, start // BLOCK * BLOCK, min(-(-end // BLOCK) * BLOCK, size))
    data = sum(length for _, length in found)
    if len(found) > _EXTENTS_MAX or size - data < _WORTH_BYTES:
        return None
    return tuple(found)


def _add(found: list[Extent], start: int, end: int) -> None:
    """Add an extent, joined with the last one where rounding made them touch."""
    if found and start <= sum(found[-1]):
        start = found.pop()[0]
    if end > start:
        found.append((start, end - start))
