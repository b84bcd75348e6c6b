"""Directories to work in, that tell by a lock whether their maker is still at work."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from typing import NamedTuple

from casemate.linux.inroot import open_root, remove_tree


class Scratch(NamedTuple):
    """A directory of one's own, and an open, locked descriptor of it."""

    path: str
    descriptor: int


@contextlib.contextmanager
def make(parent: str) -> Iterator[Scratch]:
    """Make a directory in ``parent`` for the block; it is removed unless the block moved it."""
    while True:
        path = f"{parent}/{os.urandom(8).hex()}"
        os.mkdir(path, 0o700)
        descriptor = _locked(path)
        if descriptor is not None:
            break
    try:
        yield Scratch(path, descriptor)
    finally:
        try:
            _remove(parent, os.path.basename(path))
        finally:
            os.close(descriptor)


def _locked(path: str) -> int | None:
    """Open and lock the directory; None when somebody who cleans had it first."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.lstat(path), os.fstat(descriptor)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


def _remove(parent: str, name: str) -> None:
    directory = open_root(parent)
    try:
        remove_tree(directory, name)
    except FileNotFoundError:
        pass
    finally:
        os.close(directory)


def take_away(path: str, parent: str) -> bool:
    """Remove the directory ``path`` by way of ``parent``, so that it is gone at once or not at all.

    Returns False when it does not exist. A crash leaves work for ``clean``.
    """
    name = os.urandom(8).hex()
    try:
        os.rename(path, f"{parent}/{name}")
    except FileNotFoundError:
        return False
    _remove(parent, name)
    return True


def clean(parent: str) -> int:
    """Remove the directories of makers that are gone; return how many."""
    removed = 0
    for name in os.listdir(parent):
        descriptor = _locked(f"{parent}/{name}")
        if descriptor is not None:
            try:
                _remove(parent, name)
            finally:
                os.close(descriptor)
            removed += 1
    return removed


class Trash:
    """A directory for what is to vanish at once and be removed later. Safe for threads.

    It must exist, be on the file system of what it takes, and belong to one process.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        #: Held by who empties it; who comes meanwhile says that it is to be done once more.
        self._lock = threading.Lock()
        self._wanted = False

    def take(self, path: str) -> None:
        """Move ``path`` out of sight. Raises FileNotFoundError."""
        os.rename(path, f"{self._path}/{os.urandom(8).hex()}")

    def empty(self) -> None:
        """Remove all that was taken, by this process or one before it.

        While another thread is at it, this is left to that one. Raises OSError for the last that
        cannot be removed; the others are.
        """
        self._wanted = True
        while self._wanted and self._lock.acquire(blocking=False):
            try:
                self._wanted = False
                self._remove_all()
            finally:
                self._lock.release()

    def _remove_all(self) -> None:
        failed: OSError | None = None
        for name in os.listdir(self._path):
            try:
                _remove(self._path, name)
            except OSError as error:
                failed = error
        if failed:
            raise failed


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
