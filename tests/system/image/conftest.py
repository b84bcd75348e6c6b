"""A shared engine whose stores must be as they were."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.engine import RunningEngine, eventually


@pytest.fixture
def clean(engine: RunningEngine) -> Iterator[RunningEngine]:
    """The shared engine; its stores must be after the test what they were before."""
    before = engine.stored()
    yield engine
    for container in engine.client.get("/containers/json?all=1"):
        engine.client.call("DELETE", f"/containers/{container['Id']}?force=1")
    engine.remove_images_but("busybox:latest")
    for place in ("content/leases", "layers/ingest"):
        # Who left in the middle may not be noticed yet.
        eventually(lambda p=place: os.listdir(f"{engine.root}/{p}"), lambda left: not left)  # type: ignore[misc]
    assert engine.stored() == before
