"""One cgroup in one hierarchy: its control files, reached from a held directory descriptor."""

from __future__ import annotations

import os
from typing import NamedTuple

_CHUNK = 1 << 16


class Place(NamedTuple):
    """The directory ``path`` below the descriptor ``root`` of a hierarchy's mount point."""

    root: int
    path: str
    version: int

    def read(self, file: str) -> str:
        """Return the text of a control file. Raises OSError."""
        fd = os.open(f"{self.path}/{file}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.root)
        try:
            data = os.read(fd, _CHUNK)
            while more := os.read(fd, _CHUNK):
                data += more
        finally:
            os.close(fd)
        return data.decode("ascii", "replace")

    def write(self, file: str, text: str) -> None:
        """Write ``text`` to a control file in one call, as the kernel wants. Raises OSError."""
        fd = self.open(file, os.O_WRONLY)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)

    def open(self, file: str, flags: int) -> int:
        """Return a descriptor of a control file. Raises OSError."""
        return os.open(f"{self.path}/{file}", flags | os.O_CLOEXEC, dir_fd=self.root)

    def has(self, file: str) -> bool:
        """Tell whether the control file exists."""
        try:
            os.stat(f"{self.path}/{file}", dir_fd=self.root)
        except FileNotFoundError:
            return False
        return True

    def children(self) -> list[str]:
        """Return the names of the cgroups below. Raises OSError."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.root)
        try:
            with os.scandir(fd) as entries:
                return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
        finally:
            os.close(fd)

    def child(self, name: str) -> Place:
        """Return the place of the cgroup ``name`` below this one."""
        return Place(self.root, f"{self.path}/{name}", self.version)

    def parent(self) -> Place:
        """Return the place of the cgroup above; that of a top one is the root."""
        above, _, _ = self.path.rpartition("/")
        return Place(self.root, above or ".", self.version)


def pairs(text: str) -> dict[str, int]:
    """Return the ``name number`` lines of a control file."""
    result = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.isdecimal():
            result[name] = int(value)
    return result
