"""Ranges of host ids that the ids of user namespaces stand for.

They lie above what programs that hand out ids on a host use (users, subordinate ids, other
engines), in the upper half of the numbers, and are all of one size, so that two ranges are the
same or do not meet. Source: man 7 user_namespaces; systemd, UIDS-GIDS.md.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection

from casemate.errors import InvalidArgument, Unavailable
from casemate.oci.runtime import IdMapping

#: As many ids as an image may use: what 16 bits hold, as with other engines.
SIZE = 1 << 16
_BEGIN = 1 << 31
_OVERFLOW = 65534  # kernel.overflowuid
_COUNT = (1 << 32) // SIZE - _BEGIN // SIZE - 1  # the last id is none


def free(taken: Collection[int], engine: str) -> int:
    """Return the first id of a range that is not among ``taken``. Raises Unavailable.

    Where the search begins depends on the name of the ``engine``: several on one machine rarely
    meet.
    """
    start = zlib.crc32(engine.encode()) % _COUNT
    used = frozenset(taken)
    for number in range(_COUNT):
        first = _BEGIN + (start + number) % _COUNT * SIZE
        if first not in used:
            return first
    raise Unavailable(f"all {_COUNT} ranges of ids for user namespaces are in use")


def mapping(first: int) -> tuple[IdMapping, ...]:
    """Return the map of a user namespace whose root is ``first`` on the host; 0 for none."""
    return (IdMapping(0, first, SIZE),) if first else ()


def on_host(first: int, id_: int) -> int:
    """Return what ``id_`` of a user namespace is on the host. Raises InvalidArgument for none."""
    if first and not 0 <= id_ < SIZE:
        raise InvalidArgument(f"the id {id_} is none of the {SIZE} of a user namespace")
    return first + id_


def inside(first: int, id_: int) -> int:
    """Return what the host's ``id_`` is in a user namespace: the overflow id for a stranger."""
    if not first:
        return id_
    return id_ - first if first <= id_ < first + SIZE else _OVERFLOW
