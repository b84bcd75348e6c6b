"""Where the engine is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casemate.client.place import locate
from casemate.errors import InvalidArgument


def test_root_has_the_machines_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = locate("", "", "", {})
    assert found.address == "unix:///run/casemate/casemate.sock"
    assert found.place and found.place.root == "/var/lib/casemate"


def test_a_user_has_an_engine_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_DATA_HOME": "/data"}
    found = locate("", "", "", environ)
    assert found.address == f"unix://{tmp_path}/casemate/casemate.sock"
    assert found.place and found.place.root == "/data/casemate"


@pytest.mark.parametrize(
    ("host", "run", "environ", "address", "ours"),
    [
        ("unix:///a", "", {}, "unix:///a", False),
        ("127.0.0.1:1", "", {}, "tcp://127.0.0.1:1", False),
        ("", "", {"CASEMATE_HOST": "tcp://h:1"}, "tcp://h:1", False),
        ("unix:///a", "", {"CASEMATE_HOST": "tcp://h:1"}, "unix:///a", False),
        ("", "/r", {"CASEMATE_HOST": "tcp://h:1"}, "unix:///r/casemate.sock", True),
        ("", "", {"CASEMATE_RUN": "/e"}, "unix:///e/casemate.sock", True),
        ("", "/r", {"CASEMATE_RUN": "/e"}, "unix:///r/casemate.sock", True),
    ],
)
def test_an_option_wins_over_the_environment(
    host: str, run: str, environ: dict[str, str], address: str, ours: bool
) -> None:
    found = locate(host, run, "/root-dir", environ)
    assert found.address == address
    assert (found.place is not None) is ours


def test_relative_directories_are_made_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    place = locate("", "run", "data", {}).place
    assert place and (place.run, place.root) == (f"{tmp_path}/run", f"{tmp_path}/data")


@pytest.mark.parametrize("host", ["ssh://h", "unix://", "://x"])
def test_an_address_that_cannot_be_is_refused(host: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid engine address"):
        locate(host, "", "", {})
