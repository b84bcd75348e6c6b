"""Fixtures: images that mean harm, and what they must not come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import hostile
from support.engine import RunningEngine

Load = Callable[..., str]


@pytest.fixture
def load(engine: RunningEngine) -> Iterator[Load]:
    """Return a function that loads an image with the given layers and settings."""
    names: list[str] = []

    def made(*layers: bytes, **settings: object) -> str:
        names.append(hostile.load(engine, *layers, **settings))
        return names[-1]

    yield made
    for container in engine.client.get("/containers/json?all=1"):
        engine.client.call("DELETE", f"/containers/{container['Id']}?force=1")
    for name in names:
        engine.client.call("DELETE", f"/images/{name}?force=1")


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[hostile.Sentinel]:
    """A directory of the host that must be as it was when the test ends."""
    made = hostile.Sentinel(tmp_path / "sentinel")
    yield made
    made.assert_untouched()
