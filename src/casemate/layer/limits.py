"""How much of anything an archive may have before it is refused."""

from __future__ import annotations

from typing import NamedTuple

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40


class Limits(NamedTuple):
    """Bounds on one archive; what exceeds one is refused, never cut."""

    #: Uncompressed bytes of the archive itself.
    archive_bytes: int = 256 * GIB
    #: Sum of the sizes of all files, the holes of sparse files included.
    expanded_bytes: int = TIB
    #: Entries of the archive, and so names in memory.
    entries: int = 1_000_000
    #: What all names, link targets, attributes and sparse maps take in memory.
    metadata_bytes: int = 256 * MIB
    #: A name or the target of a link (PATH_MAX of linux/limits.h).
    path_bytes: int = 4096
    #: One pax header or GNU long name.
    pax_bytes: int = MIB
    #: Records of one pax header.
    pax_records: int = 4096
    #: All extended attributes of one entry, names and values.
    xattr_bytes: int = 128 * KIB
    #: Extents of one sparse file.
    extents: int = 262_144


DEFAULT = Limits()
#: For what was judged before.
NONE = Limits(*(1 << 62,) * len(Limits._fields))
