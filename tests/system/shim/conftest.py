"""A shim without an engine; every test must leave no process of it behind."""

from __future__ import annotations

import os
import select
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.supervise.program import Program
from support.shims import Lab, build, busybox_root


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The shim of this checkout, or the one that CASEMATE_SHIM names."""
    loaded = Program(build(tmp_path_factory.mktemp("shim") / "casemate-shim"))
    yield loaded
    loaded.close()


@pytest.fixture
def lab(program: Program, disk: Path) -> Iterator[Lab]:
    """Tasks over a busybox root, in a directory on a real disk."""
    if not shutil.which("busybox"):
        pytest.skip("needs a static busybox: apt install busybox-static")
    made = Lab(program, disk, busybox_root(disk))
    yield made
    made.end()
    left = _left(made)
    assert not left, f"processes left behind: {left}"


def _left(lab: Lab) -> list[str]:
    """Return what still runs the shim or a program of the lab's root; the dying are waited for."""
    mine = {
        _identity(f"/proc/self/fd/{lab.program.descriptor}"),
        _identity(f"{lab.root}/bin/busybox"),
    }
    mine.discard(None)
    running = [
        n for n in os.listdir("/proc") if n.isdigit() and _identity(f"/proc/{n}/exe") in mine
    ]
    return [_described(n) for n in running if not _ends(int(n))]


def _described(pid: str) -> str:
    return f"{pid} {Path(f'/proc/{pid}/cmdline').read_text()!r}"


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _ends(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 5)[0])
    finally:
        os.close(descriptor)
