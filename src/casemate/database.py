"""The one database of an engine: SQLite in WAL mode, one connection behind a lock.

Each room owns its tables: it hands its schema to ``migrate`` once and then reads and writes
through ``query`` and ``transaction``. Bytes (blobs, layers, logs) are files, never rows. May
import ``errors``.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from casemate.errors import DataLoss, Unavailable, Unsupported


class Database:
    """A SQLite file, opened for many threads; changes are transactions."""

    def __init__(self, path: str) -> None:
        """Open or create the database at ``path``. Raises Unavailable or DataLoss."""
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._durable = True
        try:
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=10
            )
            self._connection.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                "PRAGMA wal_autocheckpoint=2000;"
                "CREATE TABLE IF NOT EXISTS room (name TEXT PRIMARY KEY, version INTEGER) STRICT;"
            )
        except sqlite3.DatabaseError as error:
            raise _translated(error, path) from error

    def migrate(self, room: str, versions: Sequence[str]) -> None:
        """Bring the tables of ``room`` to the newest of ``versions``, each an SQL script.

        A database written by a newer casemate is refused with Unsupported.
        """
        with self.transaction() as connection:
            row = connection.execute("SELECT version FROM room WHERE name = ?", (room,)).fetchone()
            done = row[0] if row else 0
            if done > len(versions):
                raise Unsupported(
                    f"cannot open {self.path}: room {room} has version {done},"
                    f" this casemate knows {len(versions)}",
                    hint="use the newer casemate that wrote it",
                )
            for script in versions[done:]:
                for statement in script.split(";"):
                    if statement.strip():
                        connection.execute(statement)
            connection.execute(
                "INSERT INTO room VALUES (?, ?)"
                " ON CONFLICT(name) DO UPDATE SET version = excluded.version",
                (room, len(versions)),
            )

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Run the block as one transaction; nested blocks join the outer one.

        ``durable=False`` skips the fsync: after a power loss the change may be gone, but the
        database is still consistent. A crash of the process alone never loses a committed change.
        """
        with self._lock:
            if self._depth:
                yield self._connection
                return
            try:
                if durable != self._durable:
                    self._connection.execute(
                        f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}"
                    )
                    self._durable = durable
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.DatabaseError as error:
                raise _translated(error, self.path) from error
            self._depth += 1
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise _translated(error, self.path) from error
                raise
            finally:
                self._depth -= 1

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a SELECT."""
        with self._lock:
            try:
                return self._connection.execute(sql, values).fetchall()
            except sqlite3.OperationalError as error:
                raise _translated(error, self.path) from error

    def close(self) -> None:
        """Close the file; the WAL is checkpointed into it."""
        with self._lock:
            self._connection.close()


def _translated(error: sqlite3.DatabaseError, path: str) -> Unavailable | DataLoss:
    text = str(error)
    if "malformed" in text or "not a database" in text:
        return DataLoss(
            f"cannot use the database {path}: {text}",
            hint="keep the file, then run: casemate fsck --repair",
        )
    hint = "free some space on the disk of the data root" if "full" in text else None
    return Unavailable(f"cannot use the database {path}: {text}", hint=hint)
