"""File system events by inotify. Source: man 7 inotify, sys/inotify.h."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from casemate.linux.libc import check, libc
from casemate.linux.libc import path as encoded

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_Q_OVERFLOW = 0x4000
IN_ONLYDIR = 0x1000000

_CLOEXEC_NONBLOCK = os.O_CLOEXEC | os.O_NONBLOCK
_EVENT = struct.Struct("iIII")


def open_queue() -> int:
    """Return the descriptor of a new event queue, non-blocking."""
    return check(libc.inotify_init1(_CLOEXEC_NONBLOCK), "inotify_init1")


def watch(queue: int, path: str, mask: int) -> int:
    """Watch ``path`` and return the watch's number; the same path has one number in a queue."""
    return check(libc.inotify_add_watch(queue, encoded(path), mask), "inotify_add_watch", path)


def unwatch(queue: int, number: int) -> None:
    """Stop watching."""
    check(libc.inotify_rm_watch(queue, number), "inotify_rm_watch")


def events(queue: int) -> Iterator[tuple[int, int]]:
    """Yield (watch, mask) of every event that is there; the watch is -1 for an overflow."""
    try:
        data = os.read(queue, 1 << 16)
    except BlockingIOError:
        return
    position = 0
    while position < len(data):
        number, mask, _, length = _EVENT.unpack_from(data, position)
        position += _EVENT.size + length
        yield number, mask
