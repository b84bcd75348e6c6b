"""Which cgroups were made above those of containers, because somebody named them."""

from __future__ import annotations

from collections.abc import Iterable

from casemate.database import Database

_SCHEMA = ["CREATE TABLE cgroup_parent (path TEXT PRIMARY KEY) STRICT"]


class ParentPaths:
    """Paths of cgroups that the engine has made outside its own, and is to remove."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.migrate("parents", _SCHEMA)
        self.paths = {row[0] for row in database.query("SELECT path FROM cgroup_parent")}

    def add(self, paths: Iterable[str]) -> None:
        """Write down what is about to be made: like the cgroups, it need not survive the power."""
        new = [(path,) for path in paths if path not in self.paths]
        with self._database.transaction(durable=False) as connection:
            connection.executemany("INSERT INTO cgroup_parent VALUES (?)", new)
        self.paths |= {path for (path,) in new}

    def remove(self, path: str) -> None:
        """Forget what is removed."""
        with self._database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM cgroup_parent WHERE path = ?", (path,))
        self.paths.discard(path)
