"""One engine for all tests of this folder, with a busybox image and the image hello."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from support.engine import RunningEngine, busybox_tar


def _place() -> str:
    return tempfile.mkdtemp(prefix="casemate-", dir=os.environ.get("CASEMATE_TEST_DIR", "/var/tmp"))


def _require() -> None:
    if os.geteuid():
        pytest.skip("needs root: namespaces, mounts and cgroups of the real kernel")
    if not shutil.which("busybox"):
        pytest.skip("needs a static busybox: apt install busybox-static")


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[RunningEngine]:
    """An engine that lives as long as the tests do."""
    _require()
    engine = RunningEngine(_place())
    engine.start()
    try:
        engine.import_image(busybox_tar(), "busybox", 'CMD ["sh"]')
        yield engine
    finally:
        engine.remove_everything()


@pytest.fixture
def engine(shared_engine: RunningEngine) -> Iterator[RunningEngine]:
    """The shared engine; what a test leaves in it is removed, and fsck must be content."""
    yield shared_engine
    for container in shared_engine.client.get("/containers/json?all=1"):
        shared_engine.client.call("DELETE", f"/containers/{container['Id']}?force=1")
    assert not shared_engine.fsck()


@pytest.fixture
def own_engine() -> Iterator[RunningEngine]:
    """An engine for one test alone, to be killed and started again."""
    _require()
    engine = RunningEngine(_place())
    engine.start()
    try:
        engine.import_image(busybox_tar(), "busybox", 'CMD ["sh"]')
        yield engine
    finally:
        engine.remove_everything()
