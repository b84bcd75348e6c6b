"""Fixtures: every test that needs root is held to leaving nothing behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import residue
from support.engines import place

NEEDS_ROOT = "needs root: namespaces, mounts and cgroups of the real kernel"


@pytest.fixture(scope="session")
def session_lock() -> Iterator[residue.Lock]:
    """Held as long as this session runs."""
    lock = residue.Lock()
    yield lock
    lock.close()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Skip what needs root without it; with it, compare the machine before and after."""
    if not request.node.get_closest_marker("root"):
        yield
        return
    if os.geteuid():
        pytest.skip(NEEDS_ROOT)
    lock = request.getfixturevalue("session_lock")
    before = residue.found()
    yield
    left = residue.left_since(before)
    assert not left or not lock.alone(), f"left behind: {sorted(left)}"


@pytest.fixture
def disk() -> Iterator[Path]:
    """A directory of the test's own on a real disk: below CASEMATE_TEST_DIR, or /var/tmp."""
    made = Path(place())
    yield made
    shutil.rmtree(made)
