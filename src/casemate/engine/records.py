"""Container records: what must survive the engine, in the database."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import msgspec

from casemate.database import Database
from casemate.engine import names
from casemate.engine.model import Config, HostConfig
from casemate.errors import InvalidArgument, NotFound, Unavailable
from casemate.oci.digest import Digest

_LOG = logging.getLogger("casemate.records")

#: What is to be true if and only if a change of a record is.
Also = Callable[[sqlite3.Connection], None]
Status = Literal["created", "running", "paused", "restarting", "exited", "dead", "removing"]

_SCHEMA = [
    """
    CREATE TABLE container (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_ns INTEGER NOT NULL,
        fixed BLOB NOT NULL,
        state BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE vanished (
        id TEXT PRIMARY KEY,
        exit_code INTEGER NOT NULL
    ) STRICT
    """,
]
#: Containers that have vanished by themselves whose exit codes are remembered, the last ones.
_VANISHED = 1024


class MountPoint(msgspec.Struct, frozen=True):
    """Something mounted into the container besides the standard file systems.

    A volume that is ``filled`` gets what the image has there as its first content; a ``nameless``
    one goes with the last container that mounts it; one that is ``hosted`` is another name of a
    directory of the host.
    """

    type: Literal["bind", "volume", "tmpfs"]
    destination: str
    source: str = ""
    name: str = ""
    mode: str = ""
    writable: bool = True
    propagation: str = ""
    options: tuple[str, ...] = ()
    filled: bool = False
    nameless: bool = False
    hosted: bool = False

    @property
    def of_host(self) -> bool:
        """It is a directory or file of the host, which others see and change as well."""
        return self.type == "bind" or self.hosted


class Port(msgspec.Struct, frozen=True):
    """A published port while the container runs: where it is on the host, and what it leads to."""

    container_port: int
    protocol: str
    host_address: str
    host_port: int


class Attachment(msgspec.Struct, frozen=True):
    """A place on a network that a container shall have whenever it runs.

    ``network`` is the name; ``addresses`` and ``mac`` are what somebody chose, else it is given.
    """

    network: str
    aliases: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    mac: str = ""


class Fixed(msgspec.Struct, frozen=True):
    """What does not change once the container is created, but for what an update changes, and
    the networks, which are connected and disconnected.

    ``image`` is the id of the image, ``layers`` its DiffIDs, ``args`` the whole command.
    ``first_id`` is what root in its user namespace is on the host, 0 without one. What is ``owned``
    does not outlive its owner: ``claims`` sees to that until it has started, then its supervisor.
    ``group`` is the name of the group it is inside, empty for none.
    """

    config: Config
    host: HostConfig
    image: Digest | None
    manifest: Digest | None
    layers: tuple[Digest, ...]
    args: tuple[str, ...]
    mounts: tuple[MountPoint, ...] = ()
    platform: str = "linux"
    first_id: int = 0
    owned: bool = False
    group: str = ""
    attachments: tuple[Attachment, ...] = ()


class Probe(msgspec.Struct, frozen=True):
    """One result of a health check: when, the exit code, and the beginning of what it said."""

    began_ns: int
    ended_ns: int
    exit_code: int
    output: str


class Health(msgspec.Struct, frozen=True):
    """What is known of a container's health in the run that was started at ``run_ns``."""

    status: Literal["starting", "healthy", "unhealthy"]
    run_ns: int
    failing_streak: int = 0
    log: tuple[Probe, ...] = ()


class State(msgspec.Struct, frozen=True):
    """Where the container is in its life. Times in nanoseconds since the epoch, 0 for never.

    ``cgroup`` is the path of its cgroup while it has one, ``ports`` what is published while it
    runs, ``last_ports`` what was in the run before: the next one asks for the same. ``stopped``
    tells that somebody wanted its end, so that no policy starts it again; ``backoff_ms`` is how
    long the last restart by its policy has waited. ``updating`` tells that limits are written
    down and perhaps not in force.
    """

    status: Status = "created"
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_ns: int = 0
    finished_ns: int = 0
    restart_count: int = 0
    cgroup: str = ""
    ports: tuple[Port, ...] = ()
    last_ports: tuple[Port, ...] = ()
    stopped: bool = False
    backoff_ms: int = 0
    updating: bool = False
    health: Health | None = None


class Record(msgspec.Struct, frozen=True):
    """One container, as it is written down."""

    id: str
    name: str
    created_ns: int
    fixed: Fixed
    state: State

    @property
    def short(self) -> str:
        """The first twelve digits of the id."""
        return self.id[:12]

    @property
    def active(self) -> bool:
        """A first process is there, running or frozen."""
        return self.state.status in ("running", "paused")

    @property
    def up(self) -> bool:
        """Docker calls it running: it is active, or about to be again."""
        return self.active or self.state.status == "restarting"


class Records:
    """All containers of an engine: in memory for reading, in the database for good."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.migrate("engine", _SCHEMA)
        self._by_id: dict[str, Record] = {}
        self._by_name: dict[str, str] = {}
        fixed, state = msgspec.msgpack.Decoder(Fixed), msgspec.msgpack.Decoder(State)
        for row in database.query("SELECT id, name, created_ns, fixed, state FROM container"):
            id_, name, created_ns = row[:3]
            self._remember(
                Record(id_, name, created_ns, fixed.decode(row[3]), state.decode(row[4]))
            )

    def all(self) -> list[Record]:
        """Return every container, the oldest first."""
        return sorted(self._by_id.values(), key=lambda r: r.created_ns)

    def get(self, id_: str) -> Record | None:
        """Return the container with the whole id ``id_``."""
        return self._by_id.get(id_)

    def is_name_taken(self, name: str) -> bool:
        """Tell whether a container has this name."""
        return name in self._by_name

    def find(self, text: str) -> Record:
        """Return the container that ``text`` names: an id, a name, or the beginning of an id.

        Raises NotFound, or InvalidArgument when several begin so.
        """
        name = text.removeprefix("/")
        record = self._by_id.get(text) or self._by_id.get(self._by_name.get(name, ""))
        if record:
            return record
        if text:
            # A copy: other threads add and remove meanwhile.
            matches = [r for i, r in self._by_id.copy().items() if i.startswith(text)]
            if len(matches) == 1:
                return matches[0]
            if matches:
                raise InvalidArgument(f"multiple IDs found with provided prefix: {text}")
        raise NotFound(f"No such container: {text}")

    def add(self, record: Record, also: Also) -> None:
        """Write a new container down and do ``also``, in one transaction.

        Raises AlreadyExists when its name is taken.
        """
        with self._naming(record.name) as connection:
            connection.execute(
                "INSERT INTO container VALUES (?, ?, ?, ?, ?)",
                (
                    record.id,
                    record.name,
                    record.created_ns,
                    msgspec.msgpack.encode(record.fixed),
                    msgspec.msgpack.encode(record.state),
                ),
            )
            also(connection)
        self._remember(record)

    def change(self, id_: str, *, durable: bool = False, **changes: object) -> Record:
        """Change fields of a container's state and return the new record."""
        changed = self._changed(id_, changes)
        self._write(changed, durable=durable)
        self._by_id[id_] = changed
        return changed

    def learn(self, id_: str, **changes: object) -> Record:
        """Change fields as ``change`` does, for what has happened whether it can be written or not.

        What could not be written is found out again by the next engine.
        """
        changed = self._changed(id_, changes)
        try:
            self._write(changed, durable=False)
        except Unavailable as error:
            _LOG.error("container %s: %s", changed.short, error)
        self._by_id[id_] = changed
        return changed

    def _changed(self, id_: str, changes: Mapping[str, object]) -> Record:
        record = self._by_id[id_]
        state = msgspec.structs.replace(record.state, **changes)
        return msgspec.structs.replace(record, state=state)

    def _write(self, record: Record, *, durable: bool) -> None:
        state = msgspec.msgpack.encode(record.state)
        with self._database.transaction(durable=durable) as connection:
            connection.execute("UPDATE container SET state = ? WHERE id = ?", (state, record.id))

    def rename(self, id_: str, name: str) -> Record:
        """Give a container another name. Raises AlreadyExists when it is taken."""
        with self._naming(name) as connection:
            connection.execute("UPDATE container SET name = ? WHERE id = ?", (name, id_))
        record = self._by_id[id_]
        del self._by_name[record.name]
        renamed = msgspec.structs.replace(record, name=name)
        self._remember(renamed)
        return renamed

    def configure(self, id_: str, host: HostConfig, **changes: object) -> Record:
        """Change what is asked of the host for a container, and fields of its state."""
        changed = self._changed(id_, changes)
        fixed = msgspec.structs.replace(changed.fixed, host=host)
        changed = msgspec.structs.replace(changed, fixed=fixed)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE container SET fixed = ? WHERE id = ?",
                (msgspec.msgpack.encode(fixed), id_),
            )
            self._write(changed, durable=True)
        self._by_id[id_] = changed
        return changed

    def attach(self, id_: str, attachments: tuple[Attachment, ...]) -> Record:
        """Change the networks that a container shall be on."""
        record = self._by_id[id_]
        fixed = msgspec.structs.replace(record.fixed, attachments=attachments)
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE container SET fixed = ? WHERE id = ?",
                (msgspec.msgpack.encode(fixed), id_),
            )
        changed = msgspec.structs.replace(record, fixed=fixed)
        self._by_id[id_] = changed
        return changed

    def remove(self, id_: str, also: Also) -> None:
        """Forget a container and do ``also``, in one transaction.

        The exit code of one that was to vanish at its end stays known: who waits for that one may
        have to ask another engine than the one that has removed it.
        """
        record = self._by_id[id_]
        with self._database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM container WHERE id = ?", (id_,))
            also(connection)
            if record.fixed.host.auto_remove:
                row = connection.execute(
                    "INSERT INTO vanished VALUES (?, ?)", (id_, record.state.exit_code)
                ).lastrowid
                connection.execute("DELETE FROM vanished WHERE rowid = ? - ?", (row, _VANISHED))
        del self._by_id[id_]
        self._by_name.pop(record.name, None)

    def vanished(self, id_: str) -> int | None:
        """Return what a container ended with that has vanished by itself, None for no such one."""
        rows = self._database.query("SELECT exit_code FROM vanished WHERE id = ?", (id_,))
        return rows[0][0] if rows else None

    @contextlib.contextmanager
    def _naming(self, name: str) -> Iterator[sqlite3.Connection]:
        """Give a transaction in which a container gets ``name``. Raises AlreadyExists."""
        other = self._by_name.get(name)
        if other:
            raise names.taken(name, other)
        try:
            with self._database.transaction() as connection:
                yield connection
        except sqlite3.IntegrityError as error:
            # Another thread was faster, and has not remembered it yet.
            raise names.taken(name, self._by_name.get(name, "another")) from error

    def _remember(self, record: Record) -> None:
        self._by_id[record.id] = record
        self._by_name[record.name] = record.id
