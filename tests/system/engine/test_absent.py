"""What is Docker's and not here yet: said by name, and lists of it are empty."""

from __future__ import annotations

import pytest

from casemate.errors import NotFound, Unsupported
from support.engine import RunningEngine

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/swarm/init"),
        ("POST", "/build"),
        ("GET", "/images/search?term=x"),
        ("GET", "/swarm"),
    ],
)
def test_it_is_not_taken_for_an_object_that_is_missing(
    engine: RunningEngine, method: str, path: str
) -> None:
    with pytest.raises(Unsupported, match=f"{method} /.* is not supported yet"):
        engine.client.call(method, path)


def test_nothing_is_there_and_nothing_to_prune(engine: RunningEngine) -> None:
    assert engine.client.post("/networks/prune")["NetworksDeleted"] == []
    assert engine.client.post("/build/prune")["SpaceReclaimed"] == 0


def test_what_nobody_knows_is_not_found(engine: RunningEngine) -> None:
    with pytest.raises(NotFound, match="page not found"):
        engine.client.get("/nothing")
