"""The first content of a volume: what the image has where it is mounted.

It is copied beside the volume and synced, gets another name when it is whole, and is then moved
into the volume entry by entry. So a crash leaves none of it or all of it (after ``finish``), and
a volume that others have mounted already is filled before their eyes, as Docker does.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections import Counter
from collections.abc import Iterator

from casemate.layer import view
from casemate.layer.extract import Target, extract
from casemate.layer.stream import Stream
from casemate.linux import inroot, mount

_WORK, _WHOLE = "_filling", "_filled"


class Filler:
    """Fills volumes, each one by one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._waiting: Counter[str] = Counter()

    def fill(self, base: str, data: str, root: int, path: str) -> None:
        """Copy the directory ``path`` of the open ``root`` into the volume, if that is empty.

        ``base`` holds the volume's directory ``data``. Owners, modes and attributes are kept; the
        volume itself gets those of ``path``. Raises Error, OSError.
        """
        with self._alone(base):
            finish(base, data)
            if os.listdir(data):
                return
            try:
                source = inroot.open_in(root, path, os.O_RDONLY | os.O_DIRECTORY)
            except (FileNotFoundError, NotADirectoryError):
                return
            try:
                _copy(source, base)
                finish(base, data)
                _describe(source, data)
            finally:
                os.close(source)

    @contextlib.contextmanager
    def _alone(self, base: str) -> Iterator[None]:
        with self._lock:
            lock = self._locks.setdefault(base, threading.Lock())
            self._waiting[base] += 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                self._waiting[base] -= 1
                if not self._waiting[base]:
                    del self._waiting[base], self._locks[base]


def finish(base: str, data: str) -> None:
    """Move what was copied whole into the volume. What is there already stays. Raises OSError."""
    whole = f"{base}/{_WHOLE}"
    try:
        names = os.listdir(whole)
    except FileNotFoundError:
        return
    for name in names:
        if not os.path.lexists(f"{data}/{name}"):
            os.rename(f"{whole}/{name}", f"{data}/{name}")
    _remove(base, _WHOLE)


def recover(base: str, data: str) -> None:
    """Bring to its end, or undo, what a crash has cut short. Raises OSError."""
    finish(base, data)
    _remove(base, _WORK)


def _copy(source: int, base: str) -> None:
    """Copy all in the directory ``source`` to where ``finish`` finds it."""
    if not os.listdir(source):
        return
    _remove(base, _WORK)
    os.mkdir(f"{base}/{_WORK}", 0o700)
    target = inroot.open_root(f"{base}/{_WORK}")
    try:
        found = view.entry(source, b".", b".")
        archive = view.archive(found, source, lambda id_: id_)
        with contextlib.closing(archive):
            extract(Stream(archive), Target(target, b"/", "the image's content of the volume"))
        directory = os.open(f"{base}/{_WORK}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            mount.sync_filesystem(directory)
        finally:
            os.close(directory)
    finally:
        os.close(target)
    os.rename(f"{base}/{_WORK}", f"{base}/{_WHOLE}")


def _describe(source: int, data: str) -> None:
    status = os.fstat(source)
    os.chown(data, status.st_uid, status.st_gid)
    os.chmod(data, stat.S_IMODE(status.st_mode))
    os.utime(data, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _remove(base: str, name: str) -> None:
    directory = inroot.open_root(base)
    try:
        with contextlib.suppress(FileNotFoundError):
            inroot.remove_tree(directory, name)
    finally:
        os.close(directory)
