"""Fixtures: an engine that all tests share, and engines that one test has to itself."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator

import pytest

from support.engine import RunningEngine, busybox_tar

Start = Callable[..., RunningEngine]


def place() -> str:
    """Return a new directory on a real disk."""
    return tempfile.mkdtemp(prefix="casemate-", dir=os.environ.get("CASEMATE_TEST_DIR", "/var/tmp"))


def require() -> None:
    """Skip the test where no engine can run."""
    if os.geteuid():
        pytest.skip("needs root: namespaces, mounts and cgroups of the real kernel")
    if not shutil.which("busybox"):
        pytest.skip("needs a static busybox: apt install busybox-static")


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[RunningEngine]:
    """An engine that lives as long as the tests do."""
    require()
    engine = RunningEngine(place())
    engine.start()
    try:
        engine.import_image(busybox_tar(), "busybox", 'CMD ["sh"]')
        yield engine
    finally:
        engine.remove_everything()


@pytest.fixture
def engine(shared_engine: RunningEngine) -> Iterator[RunningEngine]:
    """The shared engine; what a test leaves in it is removed, and fsck must be content."""
    kept = {image["Id"] for image in shared_engine.client.get("/images/json")}
    yield shared_engine
    for container in shared_engine.client.get("/containers/json?all=1"):
        shared_engine.client.call("DELETE", f"/containers/{container['Id']}?force=1")
    shared_engine.client.post('/volumes/prune?filters={"all":["true"]}')
    for image in shared_engine.client.get("/images/json"):
        if image["Id"] not in kept:
            shared_engine.client.call("DELETE", f"/images/{image['Id']}?force=1")
    assert not shared_engine.fsck()


@pytest.fixture
def start_engine() -> Iterator[Start]:
    """Return a function that starts an engine for this test alone; it takes what RunningEngine
    does behind the place.
    """
    require()
    engines: list[RunningEngine] = []

    def start(*options: str, **more: object) -> RunningEngine:
        engine = RunningEngine(place(), *options, **more)  # type: ignore[arg-type]
        engines.append(engine)
        engine.start()
        return engine

    yield start
    for engine in engines:
        engine.remove_everything()


@pytest.fixture
def own_engine(start_engine: Start) -> RunningEngine:
    """An engine for one test alone, to be killed and started again."""
    engine = start_engine()
    engine.import_image(busybox_tar(), "busybox", 'CMD ["sh"]')
    return engine
