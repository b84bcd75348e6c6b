"""Pruning takes what has ended, as its filters choose, and nothing that lives or will again."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest

from support.engine import RunningEngine
from support.lives import reaches, wait_longest

pytestmark = pytest.mark.root


def prune(engine: RunningEngine, **filters: list[str]) -> list[str]:
    """Prune and return the names of what is left."""
    engine.client.post(f"/containers/prune?filters={quote(json.dumps(filters))}")
    found = engine.client.get("/containers/json?all=1")
    return sorted(container["Names"][0].removeprefix("/") for container in found)


def labelled(engine: RunningEngine, name: str, **labels: str) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "Labels": labels}
    engine.client.post(f"/containers/create?name={name}", body)


def test_filters_choose(engine: RunningEngine) -> None:
    labelled(engine, "front", tier="front", keep="")
    labelled(engine, "back", tier="back")
    labelled(engine, "plain")
    at = time.time()
    everything = ["back", "front", "plain"]
    assert prune(engine, label=["none"]) == everything
    assert prune(engine, label=["tier=front", "none"]) == everything
    assert prune(engine, until=["1h"]) == everything
    assert prune(engine, until=[f"{at - 3600:.0f}"]) == everything
    assert prune(engine, label=["tier=back"]) == ["front", "plain"]
    assert prune(engine, **{"label!": ["keep"]}) == ["front"]
    assert prune(engine, label=["tier", "keep="], until=[f"{at + 60:.0f}"]) == []


def test_what_lives_or_will_again_stays(own_engine: RunningEngine) -> None:
    engine = own_engine
    for name in ("running", "paused"):
        engine.run_container("busybox", "sleep", "1000", name=name)
    engine.client.post("/containers/paused/pause")
    policy = {"Name": "always"}
    engine.run_container("busybox", "false", name="restarting", RestartPolicy=policy)
    engine.run_container("busybox", "true", name="ended")
    engine.create("busybox", name="created")
    reaches(engine, "restarting", "restarting")
    wait_longest(engine, "restarting")
    assert prune(engine) == ["paused", "restarting", "running"]
