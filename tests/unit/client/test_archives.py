"""Files in and out as archives, written by whom nobody trusts."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.client import archives
from casemate.errors import DataLoss, InvalidArgument, Unavailable
from support.images import member, tar

NAMES = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=20
).filter(lambda name: name not in (".", ".."))


@given(st.dictionaries(NAMES, st.binary(max_size=100), min_size=1, max_size=5))
def test_what_is_packed_is_unpacked(files: dict[str, bytes]) -> None:
    directory = {f"d/{name}": data for name, data in files.items()}
    data = archives.packed(directory, ["d"])
    pieces = [data[n : n + 700] for n in range(0, len(data), 700)]
    found = archives.unpacked(pieces, "/top/d", 1 << 20)
    assert found == {f"/top/d/{name}": data for name, data in files.items()}


def test_files_are_grouped_by_directory(tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"mine")
    files = {"/a/x": b"1", "/a/y": "ü", "/z": tmp_path / "own"}
    assert archives.grouped(files) == {"/a": {"x": b"1", "y": "ü".encode()}, "/": {"z": b"mine"}}


@pytest.mark.parametrize("path", ["", "/", "a", "a/b", "/a/", "/a/../b", "/..", "/a\0", "/."])
def test_what_is_no_path_of_a_file_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid path"):
        archives.grouped({path: b""})


def test_a_file_of_ours_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"cannot read .*absent: No such file"):
        archives.grouped({"/x": tmp_path / "absent"})


def test_only_regular_files_come_back() -> None:
    data = tar(
        {"out/": b"", "out/file": b"data", "out/link": "/etc/passwd"},
        member("out/fifo", tarfile.FIFOTYPE),
        member("out/hard", tarfile.LNKTYPE, linkname="out/file"),
    )
    assert archives.unpacked([data], "/out", 100) == {"/out/file": b"data"}


def test_names_that_lead_out_stay_names() -> None:
    found = archives.unpacked([tar({"../../etc/passwd": b"x"})], "/out", 100)
    assert found == {"/etc/passwd": b"x"}  # a key of a dictionary: nothing is written


def test_more_than_the_limit_is_refused_before_it_is_read() -> None:
    info = tarfile.TarInfo("out/large")
    info.size = 1 << 40
    with pytest.raises(InvalidArgument, match="more than 1000 bytes"):
        archives.unpacked([info.tobuf()], "/out", 1000)
    with pytest.raises(InvalidArgument, match="more than 1000 bytes"):
        archives.unpacked([tar({f"out/{n}": b"x" * 400 for n in range(3)})], "/out", 1000)


@pytest.mark.parametrize("cut", [100, 600, 1000])
def test_an_archive_that_breaks_off_is_no_archive(cut: int) -> None:
    data = tar({"out/file": b"x" * 1000})
    with pytest.raises(DataLoss, match="cannot take /out"):
        archives.unpacked([data[:cut]], "/out", 1 << 20)


@given(st.binary(max_size=1500))
def test_any_bytes_are_an_archive_or_refused(data: bytes) -> None:
    try:
        archives.unpacked([data], "/out", 1 << 20)
    except (DataLoss, InvalidArgument):
        pass


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(0, 60), max_size=10))
def test_pieces_are_one_file(pieces: list[bytes], sizes: list[int]) -> None:
    file, whole = archives.Pieces(pieces), io.BytesIO(b"".join(pieces))
    for size in sizes:
        assert file.read(size) == whole.read(size)
    assert file.read() == whole.read()
