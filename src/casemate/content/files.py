"""What every part of the store does with files: locks that survive renames, durable directories."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from casemate.errors import from_os


@contextlib.contextmanager
def naming(what: str) -> Iterator[None]:
    """Turn an OSError of the block into the Error that fits, prefixed by ``what``."""
    try:
        yield
    except OSError as error:
        raise from_os(error, what) from error


def sync_directory(path: str) -> None:
    """Make the names in directory ``path`` durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_locked(path: str, flags: int, *, wait: bool) -> int:
    """Open ``path`` and hold its exclusive flock; the caller closes the descriptor.

    Whoever renames or removes a locked file holds its lock, so the name is checked again once the
    lock is had: a lock on a file that lost its name protects nothing. Raises BlockingIOError when
    another holds it and ``wait`` is false, else OSError.
    """
    operation = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
    while True:
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, operation)
            if _is_named(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_named(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def holding(path: str, *, exclusive: bool) -> Iterator[None]:
    """Hold the lock file ``path`` during the block, alone or together with other sharers."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)
