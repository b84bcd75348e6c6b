"""Control files that behave like the kernel's: they round, refuse and depend on one another."""

from __future__ import annotations

import errno
from collections.abc import Callable

PAGE = 4096
NO_LIMIT_V1 = str((1 << 63) // PAGE * PAGE - PAGE)


class FakePlace:
    """Stands in for ``place.Place``; ``written`` records the files in order."""

    def __init__(self, version: int, **files: str) -> None:
        self.version = version
        self.path = "casemate/x"
        self.files = {name.replace("__", "."): text for name, text in files.items()}
        self.written: list[tuple[str, str]] = []
        self.keep: dict[str, Callable[[str], str]] = {}
        self.above: FakePlace | None = None

    def read(self, file: str) -> str:
        if file not in self.files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", file)
        return self.files[file] + "\n"

    def write(self, file: str, text: str) -> None:
        self.read(file)
        self.written.append((file, text))
        self.files[file] = self.keep.get(file, str)(text)

    def has(self, file: str) -> bool:
        return file in self.files

    def parent(self) -> FakePlace:
        assert self.above
        return self.above


def memory_v1(limit: int = -1, swap: int = -1) -> FakePlace:
    """A memory cgroup of version 1 that keeps limit <= memory and swap at every step."""
    place = FakePlace(1, memory__soft_limit_in_bytes=NO_LIMIT_V1, memory__swappiness="60")
    place.files["memory.oom_control"] = "oom_kill_disable 0\nunder_oom 0\noom_kill 3"
    place.files["memory.limit_in_bytes"] = _pages(str(limit))
    place.files["memory.memsw.limit_in_bytes"] = _pages(str(swap))
    place.files["cgroup.procs"] = ""

    def keep_limit(text: str) -> str:
        if int(_pages(text)) > int(place.files["memory.memsw.limit_in_bytes"]):
            raise OSError(errno.EINVAL, "Invalid argument")
        return _pages(text)

    def keep_swap(text: str) -> str:
        if int(_pages(text)) < int(place.files["memory.limit_in_bytes"]):
            raise OSError(errno.EINVAL, "Invalid argument")
        return _pages(text)

    place.keep["memory.limit_in_bytes"] = keep_limit
    place.keep["memory.memsw.limit_in_bytes"] = keep_swap
    place.keep["memory.soft_limit_in_bytes"] = _pages
    place.keep["memory.oom_control"] = lambda text: f"oom_kill_disable {text}\nunder_oom 0"
    return place


def memory_v2() -> FakePlace:
    """A memory cgroup of version 2."""
    place = FakePlace(2, memory__max="max", memory__low="0", cgroup__procs="")
    place.files["memory.swap.max"] = "max"
    for file in ("memory.max", "memory.low", "memory.swap.max"):
        place.keep[file] = lambda text: text if text == "max" else str(int(text) // PAGE * PAGE)
    return place


def _pages(text: str) -> str:
    return NO_LIMIT_V1 if int(text) < 0 else str(int(text) // PAGE * PAGE)
