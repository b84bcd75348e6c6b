"""``casemate walls``: a table or JSON, and a status that tells whether all walls hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from unit.cli.conftest import Cli
from unit.cli.fakeengine import FakeEngine

Capture = pytest.CaptureFixture[str]


def answer(*holds: bool | None) -> dict[str, Any]:
    walls = [
        {"Name": "tasks\x1b", "Setting": "7", "From": "default", "Kernel": "9", "Holds": held}
        for held in holds
    ]
    return {"Id": "a" * 64, "Name": "web", "Isolation": "container", "Walls": walls}


@pytest.mark.parametrize(
    ("holds", "status", "end"),
    [((True,), 0, "yes"), ((None,), 0, "-"), ((True, False), 1, "NO")],
)
def test_the_status_tells_whether_all_walls_hold(
    cli: Cli,
    engine: FakeEngine,
    capfd: Capture,
    holds: tuple[bool | None, ...],
    status: int,
    end: str,
) -> None:
    engine.answers["GET /casemate/containers/web/walls"] = (200, answer(*holds))
    assert cli("walls", "web") == status
    head, *lines = capfd.readouterr().out.splitlines()
    assert head.split() == ["WALL", "FROM", "KERNEL", "HOLDS", "SETTING"]
    assert lines[-1].split()[-4:] == ["default", "9", end, "7"]
    assert "\x1b" not in lines[-1]  # names are the engine's, a terminal is not to be steered
    assert cli("walls", "--format", "json", "web") == status
    assert json.loads(capfd.readouterr().out) == answer(*holds)


def test_what_is_no_format_is_refused(cli: Cli, engine: FakeEngine) -> None:
    assert cli("walls", "--format", "yaml", "web") == 1
    assert cli("walls") == 1
    assert not engine.requests
