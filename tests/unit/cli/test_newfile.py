"""A file appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from casemate.cli.newfile import NewFile
from casemate.errors import Error


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with NewFile(str(path)) as file:
        file.write(b"half ")
        assert not path.exists()
        file.write(b"done")
    assert path.read_bytes() == b"half done"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["out"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before")
    with pytest.raises(KeyError), NewFile(str(path)) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["out"]


def test_what_is_no_regular_file_is_written_to() -> None:
    with NewFile("/dev/null") as file:
        file.write(b"x")
    assert os.stat("/dev/null").st_rdev


def test_a_directory_that_is_missing_is_an_error_with_the_name(tmp_path: Path) -> None:
    file = NewFile(f"{tmp_path}/no/out")
    with pytest.raises(Error, match=r"cannot write .*/no/out"):
        file.__enter__()
