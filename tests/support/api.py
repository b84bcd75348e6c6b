"""Fixtures: the Python API at a test's engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from casemate import Engine
from support.engine import RunningEngine


@pytest.fixture
def api(engine: RunningEngine) -> Iterator[Engine]:
    """The Python API at the shared engine; a test leaves no container in it."""
    with Engine(f"unix://{engine.socket}") as found:
        yield found
        assert not engine.client.get("/containers/json?all=1")
