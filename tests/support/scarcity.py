"""A machine that runs out of something, for one engine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import RunningEngine, eventually


@contextlib.contextmanager
def full(directory: str) -> Iterator[None]:
    """Leave no byte of the file system free meanwhile."""
    names = [f"{directory}/ballast{size}" for size in (1 << 16, 512)]
    for name, size in zip(names, (1 << 16, 512), strict=True):
        with open(name, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(size))
    try:
        yield
    finally:
        for name in names:
            os.unlink(name)


@contextlib.contextmanager
def few_processes(engine: RunningEngine, more: int) -> Iterator[None]:
    """Let the engine and what it spawns have only ``more`` processes or threads than it has."""
    with _limited(engine, "pids") as group:
        now = int((group / "pids.current").read_text())
        (group / "pids.max").write_text(str(now + more))
        yield


@contextlib.contextmanager
def little_memory(engine: RunningEngine, more_bytes: int) -> Iterator[Path]:
    """Let the engine have only ``more_bytes`` of memory more than it has; gives its cgroup.

    What it has used before is counted where it was before, so only what is new is limited.
    """
    with _limited(engine, "memory") as group:
        (group / "memory.limit_in_bytes").write_text(str(more_bytes))
        yield group


@contextlib.contextmanager
def _limited(engine: RunningEngine, controller: str) -> Iterator[Path]:
    top = Path("/sys/fs/cgroup") / controller
    if not top.is_dir():
        pytest.skip(f"needs the {controller} controller of cgroups version 1")
    assert engine.process
    own = top / f"casemate-test-{os.getpid()}"
    own.mkdir()
    try:
        (own / "cgroup.procs").write_text(str(engine.process.pid))
        yield own
    finally:
        for pid in (own / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                (top / "cgroup.procs").write_text(pid)
        eventually(lambda: _removed(own), bool)


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except OSError:
        return False
    return True
