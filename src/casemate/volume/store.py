"""The volumes of an engine: a record and a directory each.

A directory is made before its record and, when the volume is removed, is taken out of sight after
the record says so. So a crash in between leaves an empty directory or a volume that is doomed, and
``recover`` removes both. What a directory without a record holds was somebody's: it is never
removed, but becomes a volume again.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from casemate.database import Database
from casemate.errors import Conflict, NotFound, from_os
from casemate.layer.scratch import Trash
from casemate.volume import filling
from casemate.volume.filling import Filler
from casemate.volume.model import Volume, checked_name, checked_options

_SCHEMA = """
CREATE TABLE volume (
    name TEXT PRIMARY KEY,
    doomed INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID
"""
_DATA = "_data"

Doom = Callable[[sqlite3.Connection], None]


class Volumes:
    """The volumes below the directory ``top``. Safe for threads."""

    def __init__(self, database: Database, top: str, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._top = top
        self._now_ns = now_ns
        self._lock = threading.RLock()
        self._filler = Filler()
        database.migrate("volume", [_SCHEMA])
        self._known: dict[str, Volume] = {}
        self._doomed: set[str] = set()
        for name, doomed, body in database.query("SELECT name, doomed, body FROM volume"):
            if doomed:
                self._doomed.add(name)
            else:
                self._known[name] = msgspec.msgpack.decode(body, type=Volume)

    def all(self) -> list[Volume]:
        """Return every volume, by name."""
        return [volume for _, volume in sorted(self._known.copy().items())]

    def get(self, name: str) -> Volume | None:
        """Return the volume ``name``."""
        return self._known.get(name)

    def find(self, name: str) -> Volume:
        """Return the volume ``name``. Raises NotFound."""
        volume = self._known.get(name)
        if volume is None:
            raise NotFound(f"get {name[:255]}: no such volume")
        return volume

    def base(self, name: str) -> str:
        """Return the directory in which all of the volume is."""
        return f"{self._top}/{name}"

    def data(self, name: str) -> str:
        """Return the directory that holds what the volume holds."""
        return f"{self.base(name)}/{_DATA}"

    def source(self, name: str) -> str:
        """Return what is mounted for the volume, whether it is there yet or not."""
        volume = self._known.get(name)
        return (volume.device if volume else "") or self.data(name)

    def ensure(
        self,
        name: str,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        *,
        kept: bool = True,
    ) -> tuple[Volume, bool]:
        """Return the volume ``name`` and whether it is new; one that is there stays as it is.

        A new one that is not ``kept`` vanishes with this process until ``keep`` is done. Raises
        InvalidArgument, Unsupported, Unavailable.
        """
        chosen = checked_options(options or {})
        with self._lock:
            volume = self._known.get(name)
            if volume:
                return volume, False
            if name in self._doomed:
                raise Conflict(f"volume {name} is being removed")
            volume = Volume(checked_name(name), self._now_ns(), dict(labels or {}), chosen)
            try:
                self._make_directory(name)
            except OSError as error:
                raise from_os(error, f"cannot create volume {name}") from error
            self._write(volume, kept=kept)
            return volume, True

    def _make_directory(self, name: str) -> None:
        os.makedirs(self.data(name), 0o755, exist_ok=True)
        os.chmod(self.base(name), 0o700)  # what is in it may be for nobody else

    def _write(self, volume: Volume, *, kept: bool) -> None:
        row = (volume.name, int(not kept), msgspec.msgpack.encode(volume))
        with self._database.transaction(durable=False) as connection:
            connection.execute("INSERT INTO volume VALUES (?, ?, ?)", row)
        self._known[volume.name] = volume

    @staticmethod
    def keep(connection: sqlite3.Connection, names: Iterable[str]) -> None:
        """Have the volumes outlive this process, within a transaction of the caller's."""
        _mark(connection, names, doomed=False)

    @contextlib.contextmanager
    def dooming(self, chosen: Callable[[], list[str]]) -> Iterator[Doom]:
        """Give what dooms the ``chosen`` volumes within a transaction of the caller's.

        They are chosen while nobody can be given one, and are gone for everybody when the block has
        ended well. ``bury`` removes what they hold.
        """
        with self._lock:
            names = chosen()
            yield lambda connection: _mark(connection, names, doomed=True)
            for name in names:
                del self._known[name]
                self._doomed.add(name)

    def remove(self, name: str, users: Callable[[str], list[str]]) -> None:
        """Doom the volume ``name``. Raises NotFound, Conflict while it has ``users``."""

        def chosen() -> list[str]:
            self.find(name)
            if found := users(name):
                raise Conflict(f"remove {name}: volume is in use - [{', '.join(found)}]")
            return [name]

        with self.dooming(chosen) as doom, self._database.transaction(durable=False) as connection:
            doom(connection)

    def bury(self, trash: Trash) -> None:
        """Take the directories of doomed volumes out of sight, then forget them. Raises OSError."""
        with self._lock:
            for name in sorted(self._doomed):
                with contextlib.suppress(FileNotFoundError):
                    trash.take(self.base(name))
                with self._database.transaction(durable=False) as connection:
                    connection.execute("DELETE FROM volume WHERE name = ?", (name,))
                self._doomed.discard(name)

    def recover(self, trash: Trash) -> list[str]:
        """Finish what a crash has cut short; returns the names of directories without a record that
        have become volumes again. Raises OSError.
        """
        with self._lock:
            self.bury(trash)
            for name in self._known:
                if os.path.isdir(self.data(name)):
                    filling.recover(self.base(name), self.data(name))
            adopted = []
            for name in sorted(os.listdir(self._top)):
                if name in self._known:
                    continue
                if os.path.isdir(self.data(name)) and os.listdir(self.data(name)):
                    self._write(Volume(name, self._now_ns()), kept=True)
                    adopted.append(name)
                else:
                    trash.take(self.base(name))
            return adopted

    def fill(self, name: str, root: int, path: str) -> None:
        """Give the volume its first content: what the open ``root`` has at ``path``.

        Raises Error, OSError.
        """
        self._filler.fill(self.base(name), self.data(name), root, path)

    def missing(self) -> list[str]:
        """Return the volumes whose directories are not there.

        A loss of power may take one that nothing was written to: nobody waits for it.
        """
        return [name for name in self._known.copy() if not os.path.isdir(self.data(name))]

    def unknown(self) -> list[str]:
        """Return the directories that no volume owns; the next engine sees to them."""
        with self._lock:
            return sorted(set(os.listdir(self._top)) - self._known.keys() - self._doomed)

    def restore(self, name: str) -> None:
        """Make the directory of a volume anew that has lost it."""
        with self._lock:
            self._make_directory(name)


def _mark(connection: sqlite3.Connection, names: Iterable[str], *, doomed: bool) -> None:
    rows = [(doomed, name) for name in names]
    connection.executemany("UPDATE volume SET doomed = ? WHERE name = ?", rows)
