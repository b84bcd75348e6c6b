"""Volumes across crashes: whatever is cut short is finished or gone, and nothing precious is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from casemate.database import Database
from casemate.errors import Conflict, NotFound
from casemate.layer.scratch import Trash
from casemate.volume.store import Volumes

Open = Callable[[], Volumes]


@pytest.fixture
def reopened(tmp_path: Path) -> Open:
    """Return a function that opens the volumes as the next process would."""
    for name in ("volumes", "trash"):
        (tmp_path / name).mkdir()
    return lambda: Volumes(Database(f"{tmp_path}/state.db"), f"{tmp_path}/volumes", lambda: 7)


@pytest.fixture
def trash(tmp_path: Path) -> Trash:
    return Trash(f"{tmp_path}/trash")


def nobody(_: str) -> list[str]:
    return []


def test_a_volume_is_there_for_the_next_process(reopened: Open, trash: Trash) -> None:
    made, new = reopened().ensure("one", {"a": "b"})
    assert new and (made.created_ns, made.labels) == (7, {"a": "b"})
    volumes = reopened()
    assert volumes.recover(trash) == []
    assert volumes.ensure("one", {"other": "label"}) == (made, False)
    assert volumes.all() == [made] and os.path.isdir(volumes.data("one"))


def test_what_is_not_kept_vanishes_with_its_process(reopened: Open, trash: Trash) -> None:
    first = reopened()
    first.ensure("kept", kept=False)
    first.ensure("lost", kept=False)
    with first._database.transaction() as connection:
        first.keep(connection, ["kept"])
    volumes = reopened()
    volumes.recover(trash)
    assert [volume.name for volume in volumes.all()] == ["kept"]
    assert os.listdir(os.path.dirname(volumes.base("kept"))) == ["kept"]


def test_a_removal_that_is_cut_short_is_finished(reopened: Open, trash: Trash) -> None:
    first = reopened()
    first.ensure("one")
    Path(first.data("one"), "file").write_text("x")
    first.remove("one", nobody)  # and the process dies before it is buried
    with pytest.raises(Conflict, match="is being removed"):
        first.ensure("one")
    volumes = reopened()
    assert volumes.recover(trash) == [] and volumes.all() == []
    assert not os.path.exists(volumes.base("one"))
    volumes.ensure("one")
    assert os.listdir(volumes.data("one")) == []


def test_what_is_used_is_not_removed(reopened: Open) -> None:
    volumes = reopened()
    volumes.ensure("one")
    with pytest.raises(Conflict, match=r"remove one: volume is in use - \[abc, def\]"):
        volumes.remove("one", lambda _: ["abc", "def"])
    with pytest.raises(NotFound, match="get two: no such volume"):
        volumes.remove("two", nobody)


def test_a_block_that_fails_dooms_nothing(reopened: Open) -> None:
    volumes = reopened()
    volumes.ensure("one")
    with pytest.raises(ZeroDivisionError), volumes.dooming(lambda: ["one"]):
        raise ZeroDivisionError
    assert [volume.name for volume in volumes.all()] == ["one"]


def test_a_lost_database_loses_no_volume(tmp_path: Path, reopened: Open, trash: Trash) -> None:
    first = reopened()
    first.ensure("full")
    first.ensure("empty")
    Path(first.data("full"), "precious").write_text("x")
    for path in tmp_path.glob("state.db*"):
        path.unlink()
    volumes = reopened()
    assert volumes.unknown() == ["empty", "full"]
    assert volumes.recover(trash) == ["full"]
    assert volumes.unknown() == [] and os.listdir(volumes.data("full")) == ["precious"]
