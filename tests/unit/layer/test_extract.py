"""Unpacking into a directory that is there: what an archive says, and nothing outside of it."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.errors import DataLoss, Error, InvalidArgument
from casemate.layer import view
from casemate.layer.extract import Target, extract
from casemate.layer.stream import Stream
from casemate.layer.tar import Entry

REG, LNK, SYM, DIR, FIFO = (
    *(tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE),
    tarfile.FIFOTYPE,
)
NAMES = st.sampled_from(
    ["a", "b", "a/b", "a/b/a", "b/a", "..", "../b", "a/../../b", "/a", "./a", "a/", ".", "", "a//b"]
)
TARGETS = st.sampled_from(["a", "b", "/", "..", "../..", "../out", "/a", "a/b", ".", "out", ""])
MEMBERS = st.tuples(NAMES, st.sampled_from([REG, LNK, SYM, DIR, FIFO]), TARGETS)


def packed(*members: tuple[str, bytes, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, target, 0o700
            data = target.encode() if kind == REG else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def unpack(archive: bytes, place: str, *, keep_kinds: bool = False) -> None:
    uid, gid = os.geteuid(), os.getegid()

    def ours(entry: Entry) -> Entry:
        return entry._replace(uid=uid, gid=gid)

    root = os.open(place, os.O_PATH | os.O_DIRECTORY)
    try:
        extract(Stream([archive]), Target(root, b"/", "it", ours, keep_kinds))
    finally:
        os.close(root)


def seen(place: str) -> dict[str, tuple[int, bytes]]:
    found = {}
    for directory, names, files in os.walk(place):
        for name in (*names, *files):
            path = f"{directory}/{name}"
            status = os.lstat(path)
            regular = stat.S_ISREG(status.st_mode)
            found[os.path.relpath(path, place)] = (
                status.st_mode,
                Path(path).read_bytes() if regular else b"",
            )
    return found


@contextlib.contextmanager
def places() -> Iterator[tuple[str, str]]:
    """A directory to unpack into, and what lies around it."""
    with tempfile.TemporaryDirectory() as top:
        os.makedirs(f"{top}/in")
        os.makedirs(f"{top}/out")
        Path(f"{top}/b").write_text("b")
        Path(f"{top}/out/a").write_text("a")
        yield f"{top}/in", top


@settings(deadline=None)
@given(st.lists(st.lists(MEMBERS, max_size=8), min_size=1, max_size=3), st.booleans())
def test_no_archive_changes_what_is_outside(
    archives: list[list[tuple[str, bytes, str]]], keep_kinds: bool
) -> None:
    with places() as (inside, top):
        before = {k: v for k, v in seen(top).items() if not k.startswith("in/")}
        for members in archives:
            with contextlib.suppress(Error, OSError):
                unpack(packed(*members), inside, keep_kinds=keep_kinds)
        assert {k: v for k, v in seen(top).items() if not k.startswith("in/")} == before


@settings(deadline=None)
@given(st.lists(MEMBERS, max_size=8))
def test_what_is_unpacked_is_packed_again(members: list[tuple[str, bytes, str]]) -> None:
    with places() as (inside, top):
        with contextlib.suppress(Error, OSError):
            unpack(packed(*members), inside)
        descriptor = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = view.entry(descriptor, b".", b".")
            again = b"".join(view.archive(found, descriptor, lambda id_: id_))
        finally:
            os.close(descriptor)
        os.mkdir(f"{top}/again")
        unpack(again, f"{top}/again")
        assert seen(f"{top}/again") == seen(inside)


def test_a_link_on_the_way_is_followed_inside(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("/real")
    unpack(packed(("link/x", REG, "1")), str(tmp_path))
    assert (tmp_path / "real/x").read_text() == "1"


def test_missing_parents_are_made_and_times_are_kept(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (("d", DIR), ("d/f", REG), ("p/q/r", REG)):
            info = tarfile.TarInfo(name)
            info.type, info.mtime, info.mode = kind, 1000, 0o755
            archive.addfile(info)
    unpack(buffer.getvalue(), str(tmp_path))
    assert (tmp_path / "d").stat().st_mtime == (tmp_path / "d/f").stat().st_mtime == 1000
    assert stat.S_IMODE((tmp_path / "p/q").stat().st_mode) == 0o755


def test_sparse_files_stay_sparse(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(32 << 20)
        file.write(b"middle")
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    found = view.entry(descriptor, b"sparse", b"sparse")
    archive = b"".join(view.archive(found, None, lambda id_: id_))
    os.close(descriptor)
    assert len(archive) < 1 << 20
    (tmp_path / "to").mkdir()
    unpack(archive, str(tmp_path / "to"))
    made = tmp_path / "to/sparse"
    assert made.stat().st_size == 64 << 20 and made.stat().st_blocks * 512 < 1 << 20
    assert made.read_bytes()[32 << 20 : (32 << 20) + 6] == b"middle"


@pytest.mark.parametrize("length", [100, 700, 1100])
def test_a_file_that_is_cut_is_not_there(tmp_path: Path, length: int) -> None:
    with pytest.raises(DataLoss):
        unpack(packed(("f", REG, "x" * 900))[:length], str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_kinds_are_kept_when_they_must(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("")
    for member, reason in (
        (("d", REG, ""), 'cannot overwrite directory "/d" with non-directory'),
        (("f", DIR, ""), 'cannot overwrite non-directory "/f" with directory'),
        (("d", LNK, "f"), "cannot overwrite directory"),
    ):
        with pytest.raises(InvalidArgument, match=reason):
            unpack(packed(member), str(tmp_path), keep_kinds=True)
    assert sorted(os.listdir(tmp_path)) == ["d", "f"]
