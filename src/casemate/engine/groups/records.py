"""Group records: what must survive the engine, and the machine's restart, in the database."""

from __future__ import annotations

import re
import sqlite3

import msgspec

from casemate.database import Database
from casemate.errors import AlreadyExists, InvalidArgument, NotFound

_SCHEMA = [
    """
    CREATE TABLE budget_group (
        name TEXT PRIMARY KEY,
        parent TEXT NOT NULL,
        created_ns INTEGER NOT NULL,
        budget BLOB NOT NULL
    ) STRICT
    """
]
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}", re.ASCII)
#: Below it are a container's own cgroups; the kernel has no limit, a path has.
MAX_DEPTH = 16


class Budget(msgspec.Struct, frozen=True, rename="pascal"):
    """What a group may use, as HostConfig says it; what is 0, empty or None is not limited.

    Sizes are in bytes, ``memory_swap`` is memory and swap together.
    """

    memory: int = 0
    memory_swap: int = 0
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int | None = None


class Group(msgspec.Struct, frozen=True):
    """One group, as it is written down; ``parent`` is the name of another one, or empty."""

    name: str
    parent: str
    created_ns: int
    budget: Budget


class Groups:
    """All groups of an engine: in memory for reading, in the database for good."""

    def __init__(self, database: Database, top: str) -> None:
        """``top`` is the engine's own cgroup."""
        self._database = database
        self._top = top
        database.migrate("groups", _SCHEMA)
        #: Cgroups of groups that are being made and not written down yet.
        self.making: set[str] = set()
        self._by_name: dict[str, Group] = {}
        decode = msgspec.msgpack.Decoder(Budget).decode
        for row in database.query("SELECT name, parent, created_ns, budget FROM budget_group"):
            name, parent, created_ns, budget = row
            self._by_name[name] = Group(name, parent, created_ns, decode(budget))

    def all(self) -> list[Group]:
        """Return every group, by name."""
        return sorted(self._by_name.copy().values(), key=lambda group: group.name)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def find(self, name: str) -> Group:
        """Return the group ``name``. Raises NotFound."""
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFound(f"No such group: {name[:80]}") from None

    def line(self, name: str) -> list[Group]:
        """Return the group ``name`` and those it is inside of, the outermost first."""
        found = [self.find(name)]
        while found[0].parent:
            found.insert(0, self.find(found[0].parent))
        return found

    def inside(self, name: str) -> list[Group]:
        """Return the groups at any depth inside the group ``name``, parents first."""
        found = []
        for group in (g for g in self.all() if g.parent == name):
            found += [group, *self.inside(group.name)]
        return found

    def path(self, name: str) -> str:
        """Return the path of the group's cgroup; "" stands for the engine's own."""
        names = (group.name for group in self.line(name)) if name else ()
        return "/".join((self._top, *map(directory, names)))

    @property
    def paths(self) -> set[str]:
        """The paths of all groups' cgroups."""
        return {self.path(group.name) for group in self.all()} | self.making

    def add(self, group: Group) -> None:
        """Write a new group down. Raises AlreadyExists when its name is taken."""
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "INSERT INTO budget_group VALUES (?, ?, ?, ?)",
                    (group.name, group.parent, group.created_ns, _encoded(group.budget)),
                )
        except sqlite3.IntegrityError as error:
            raise taken(group.name) from error
        self._by_name[group.name] = group

    def change(self, name: str, budget: Budget) -> None:
        """Give the group ``name`` another budget."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE budget_group SET budget = ? WHERE name = ?", (_encoded(budget), name)
            )
        self._by_name[name] = msgspec.structs.replace(self._by_name[name], budget=budget)

    def remove(self, name: str) -> None:
        """Forget the group ``name``."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM budget_group WHERE name = ?", (name,))
        del self._by_name[name]


def checked(name: str) -> str:
    """Return ``name`` if a group may have it. Raises InvalidArgument."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"invalid group name {name[:80]!r}: expected up to 64 of [a-zA-Z0-9_.-], the first one"
            " a letter or a digit"
        )
    return name


def directory(name: str) -> str:
    """Return how the cgroup of a group is called: like no control file, and like no room."""
    return f"{name}.group"


def taken(name: str) -> AlreadyExists:
    """Return the error for a name that another group has."""
    return AlreadyExists(f"group {name} already exists")


def _encoded(budget: Budget) -> bytes:
    return msgspec.msgpack.encode(budget)
