"""The one database of an engine: SQLite in WAL mode, one connection behind a lock.

Each room owns its tables: it hands its schema to ``migrate`` once and then reads and writes
through ``query`` and ``transaction``. Bytes (blobs, layers, logs) are files, never rows. May
import ``errors``.

A committed change survives the death of the process. It survives a loss of power after ``sync``,
which one thread does for all that wait for it, and outside the lock (docs/adr/0005). SQLite itself
syncs only around its checkpoints; that keeps the file consistent, whatever is lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from casemate.errors import DataLoss, Unavailable, Unsupported, from_os

#: So many pages are appended to the WAL before they are moved to where they belong, and so much of
#: the disk is taken for them ahead: what ends, and what makes room, finds a place on a full one.
_WAL_PAGES = 1000
_WAL_BYTES = 5 << 20


class Database:
    """A SQLite file, opened for many threads; changes are transactions."""

    def __init__(self, path: str) -> None:
        """Open or create the database at ``path``. Raises Unavailable or DataLoss."""
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._syncing = threading.Lock()
        self._wal = -1
        #: How many transactions were committed, and how many of them a loss of power leaves.
        self._committed = self._synced = 0
        self._announced = False
        #: Called in any thread when something is committed that waits for the next ``sync``.
        self.on_unsynced: Callable[[], None] = _nobody
        try:
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=10
            )
            self._connection.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"
                f"PRAGMA wal_autocheckpoint={_WAL_PAGES};"
                "CREATE TABLE IF NOT EXISTS room (name TEXT PRIMARY KEY, version INTEGER) STRICT;"
            )
        except sqlite3.DatabaseError as error:
            raise _translated(error, path) from error
        _reserve(f"{path}-wal")

    def migrate(self, room: str, versions: Sequence[str]) -> None:
        """Bring the tables of ``room`` to the newest of ``versions``, each an SQL script.

        A database written by a newer casemate is refused with Unsupported.
        """
        rows = self.query("SELECT version FROM room WHERE name = ?", (room,))
        done = rows[0][0] if rows else 0
        if done > len(versions):
            raise Unsupported(
                f"cannot open {self.path}: room {room} has version {done},"
                f" this casemate knows {len(versions)}",
                hint="use the newer casemate that wrote it",
            )
        if done == len(versions):
            return
        with self.transaction() as connection:
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

        What is not ``durable`` is so with the next ``sync``: a loss of power before that undoes it.
        """
        with self._lock:
            if self._depth:
                yield self._connection
                return
            try:
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
            self._committed += 1
        if durable:
            self.sync()
        elif not self._announced:
            self._announced = True
            self.on_unsynced()

    @property
    def unsynced(self) -> bool:
        """Whether a loss of power now would undo something."""
        return self._synced < self._committed

    def sync(self) -> None:
        """Have all that is committed survive a loss of power; waits for the disk.

        Not to be called within a transaction. Raises Error.
        """
        wanted = self._committed
        with self._syncing:
            if self._synced >= wanted:
                return  # somebody else's has covered ours
            self._announced = False
            covered = self._committed
            try:
                os.fdatasync(self._opened_wal())
            except OSError as error:
                raise from_os(error, f"cannot write the database {self.path} to disk") from error
            self._synced = covered

    def _opened_wal(self) -> int:
        """Return the file that SQLite appends to until it is closed; its name is on the disk."""
        if self._wal < 0:
            with contextlib.ExitStack() as undo:
                wal = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
                undo.callback(os.close, wal)
                _sync_directory(os.path.dirname(self.path))
                undo.pop_all()
            self._wal = wal
        return self._wal

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
        with self._syncing:
            if self._wal >= 0:
                os.close(self._wal)
            self._wal = -1


def _reserve(path: str) -> None:
    """Take disk space for the WAL ahead. SQLite reads zeros as the end of what is written.

    A disk that is full already is no error: it is one to whoever writes more than fits.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return  # SQLite has said what is wrong, or will
    try:
        os.posix_fallocate(descriptor, 0, _WAL_BYTES)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP, errno.EINVAL):
            raise from_os(error, f"cannot reserve space for {path}") from error
    finally:
        os.close(descriptor)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _nobody() -> None:
    """Be told of nothing."""


def _reason(path: str) -> str:
    """Return what the kernel says of writing where ``path`` is, which SQLite keeps to itself."""
    probe = f"{path}.probe"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.unlink(probe)
    except OSError as error:
        return f": {(error.strerror or str(error)).lower()}"
    return ""


def _translated(error: sqlite3.DatabaseError, path: str) -> Unavailable | DataLoss:
    text = str(error)
    if "malformed" in text or "not a database" in text:
        return DataLoss(
            f"cannot use the database {path}: {text}",
            hint="keep the file, then run: casemate fsck --repair",
        )
    hint = "free some space on the disk of the data root" if "full" in text else None
    if "I/O" in text:
        text += _reason(path)
    return Unavailable(f"cannot use the database {path}: {text}", hint=hint)
