"""A writable layer becomes an archive, also while somebody writes to it."""

from __future__ import annotations

import io
import os
import socket
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.errors import FailedPrecondition, NotFound
from casemate.layer import diff
from casemate.layer.diff import Change, changes
from casemate.layer.stream import Stream
from casemate.layer.tar import Entry, Reader

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="whiteouts are made by root"),
]


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    path = tmp_path / "upper"
    path.mkdir()
    path.chmod(0o755)
    return path


def archived(upper: Path) -> dict[str, Entry]:
    """Return name → entry of the archive of ``upper``, after a look at it by others."""
    data = b"".join(diff.archive(str(upper), "box"))
    assert data == b"".join(diff.archive(str(upper), "box"))
    with tarfile.open(fileobj=io.BytesIO(data)) as oracle:
        names = oracle.getnames()
    entries = list(Reader(Stream([data]), "box"))
    found = {os.fsdecode(entry.name).rstrip("/"): entry for entry in entries}
    assert list(found) == names
    assert next(iter(found)) == "."
    del found["."]
    return found


def whiteout(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, 0)


def test_entries_come_in_order_of_their_names_with_parents_first(upper: Path) -> None:
    for name in ("b", "a/y", "a/x", "c/d/e"):
        (upper / name).parent.mkdir(parents=True, exist_ok=True)
        (upper / name).write_text(name)
    assert list(archived(upper)) == ["a", "b", "c", "a/x", "a/y", "c/d", "c/d/e"]


def test_an_entry_keeps_what_belongs_to_the_file(upper: Path) -> None:
    path = upper / "f"
    path.write_text("data")
    os.chown(path, 10, 20)
    path.chmod(0o4751)
    for key, value in {
        "user.a": b"1",
        "user.overlay.x": b"2",
        "trusted.t": b"3",
        "security.capability": b"\1\0\0\2" + bytes(16),
        "trusted.overlay.origin": b"host",
        "trusted.overlay.overlay.opaque": b"y",
        "security.selinux": b"host",
    }.items():
        os.setxattr(path, key, value)
    os.utime(path, ns=(0, 1_234_567_890_123_456_789))
    entry = archived(upper)["f"]
    assert (entry.mode, entry.uid, entry.gid, entry.size) == (0o4751, 10, 20, 4)
    assert entry.mtime_ns == 1_234_567_890 * 10**9
    assert set(entry.xattrs or ()) == {
        b"user.a",
        b"user.overlay.x",
        b"trusted.t",
        b"security.capability",
    }


def test_every_kind_of_file_but_sockets_is_kept(upper: Path) -> None:
    os.mkfifo(upper / "fifo")
    os.mknod(upper / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(upper / "disk", stat.S_IFBLK, os.makedev(8, 1))
    (upper / "link").symlink_to("/etc/passwd")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(upper / "socket"))
        found = archived(upper)
    assert {name: entry.kind for name, entry in found.items()} == {
        "fifo": "fifo",
        "null": "character",
        "disk": "block",
        "link": "symlink",
    }
    assert found["link"].target == b"/etc/passwd"
    assert (found["null"].major, found["null"].minor) == (1, 3)


def test_names_of_one_file_are_hard_links(upper: Path) -> None:
    (upper / "b").write_text("data")
    (upper / "a").mkdir()
    os.link(upper / "b", upper / "a/c")
    os.link(upper / "b", upper / "d")
    found = archived(upper)
    assert (found["b"].kind, found["b"].size) == ("file", 4)
    assert [(found[name].kind, found[name].target) for name in ("d", "a/c")] == [
        ("link", b"b"),
        ("link", b"b"),
    ]


def test_what_was_removed_is_a_whiteout(upper: Path) -> None:
    (upper / "d").mkdir()
    whiteout(upper / "d/gone")
    (upper / "opaque").mkdir()
    os.setxattr(upper / "opaque", "trusted.overlay.opaque", b"y")
    (upper / "opaque/new").write_text("")
    found = archived(upper)
    assert set(found) == {"d", "d/.wh.gone", "opaque", "opaque/.wh..wh..opq", "opaque/new"}
    assert found["d/.wh.gone"].size == found["d/.wh.gone"].mtime_ns == 0


@pytest.mark.parametrize("key", ["redirect", "metacopy", "whiteout"])
def test_an_overlay_that_hides_data_is_not_misread(upper: Path, key: str) -> None:
    (upper / "f").write_text("")
    os.setxattr(upper / "f", f"trusted.overlay.{key}", b"")
    with pytest.raises(FailedPrecondition, match=rf'layer of box: "f" has the .*overlay\.{key}'):
        archived(upper)


def test_a_file_that_would_be_read_as_a_whiteout_is_refused(upper: Path) -> None:
    (upper / ".wh.x").write_text("")
    with pytest.raises(FailedPrecondition, match="would be read as a whiteout"):
        archived(upper)


def test_a_layer_that_is_gone_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="writable layer of box"):
        list(diff.archive(str(tmp_path / "upper"), "box"))


def test_holes_are_not_written(upper: Path) -> None:
    with open(upper / "sparse", "wb") as file:
        file.truncate(1 << 39)
        for at in (0, 1 << 30, (1 << 39) - 10):
            file.seek(at)
            file.write(b"x" * 10)
    with open(upper / "hole", "wb") as file:
        file.truncate(2 << 20)
    data = b"".join(diff.archive(str(upper), "box"))
    assert len(data) < 100_000
    entries = {entry.name: entry for entry in Reader(Stream([data]), "box")}
    sparse, hole = entries[b"sparse"], entries[b"hole"]
    assert (sparse.size, hole.size, hole.extents) == (1 << 39, 2 << 20, ())
    at = sparse.offset
    seen = {}
    for offset, length in sparse.extents or ():
        seen[offset] = data[at : at + length]
        at += length
    assert seen[0][:11] == b"x" * 10 + b"\0"
    assert seen[1 << 30].startswith(b"x" * 10)
    last = max(seen)
    assert last + len(seen[last]) == 1 << 39
    assert seen[last].endswith(b"x" * 10)


def test_a_growing_or_shrinking_file_does_not_shift_what_follows(upper: Path) -> None:
    (upper / "a").write_bytes(b"a" * 1_000_000)
    (upper / "b").write_bytes(b"b")
    pieces = diff.archive(str(upper), "box")
    first = next(pieces)  # the header of a is out, with some of its data
    os.truncate(upper / "a", 10)
    rest = b"".join(pieces)
    data = first + rest
    entries = {entry.name: entry for entry in Reader(Stream([data]), "box")}
    assert entries[b"a"].size == 1_000_000
    assert data[entries[b"b"].offset : entries[b"b"].offset + 1] == b"b"
    assert data[entries[b"a"].offset + 999_999 : entries[b"a"].offset + 1_000_000] == b"\0"


def test_a_directory_swapped_for_a_link_is_not_followed(upper: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/key").write_text("secret")
    (upper / "d").mkdir()
    (upper / "d/key").write_text("own")
    (upper / "e").write_bytes(b"x" * 1_000_000)
    pieces = diff.archive(str(upper), "box")
    first = next(pieces)  # d was found, and has not been entered
    os.rename(upper / "d", upper / "old")
    (upper / "d").symlink_to(tmp_path / "outside")
    data = first + b"".join(pieces)
    assert b"secret" not in data
    names = [entry.name for entry in Reader(Stream([data]), "box")]
    assert names == [b"./", b"d/", b"e"]


@pytest.fixture
def restless(upper: Path) -> Iterator[Path]:
    """Give a directory in which a thread changes everything all the time."""
    stop = threading.Event()

    def change() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            path = upper / f"n{turn % 7}"
            kind = turn % 6
            if path.is_symlink() or path.exists():
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            elif kind == 0:
                path.mkdir()
            elif kind == 1:
                path.symlink_to("/etc")
            elif kind == 2:
                whiteout(path)
            elif kind == 3:
                os.mkfifo(path)
            else:
                path.write_bytes(b"x" * (turn % 5000))
                os.truncate(path, turn % 1000)

    thread = threading.Thread(target=change)
    thread.start()
    yield upper
    stop.set()
    thread.join()


def test_the_archive_of_a_restless_directory_is_whole(restless: Path) -> None:
    for _ in range(150):
        data = b"".join(diff.archive(str(restless), "box"))
        assert data.endswith(bytes(1024))
        names = [entry.name for entry in Reader(Stream([data]), "box")]
        assert len(names) == len(set(names))


def test_changes_are_told_as_docker_tells_them(upper: Path) -> None:
    image = {b"etc", b"etc/passwd", b"etc/gone", b"opaque", b"opaque/old", b"file"}
    (upper / "etc").mkdir()
    (upper / "etc/passwd").write_text("")
    (upper / "etc/new").write_text("")
    whiteout(upper / "etc/gone")
    (upper / "opaque").mkdir()
    os.setxattr(upper / "opaque", "trusted.overlay.opaque", b"y")
    (upper / "opaque/old").write_text("")
    (upper / "made/by").mkdir(parents=True)
    found = list(changes(str(upper), image.__contains__, "box"))
    assert found == [
        Change("C", "/etc"),
        Change("A", "/made"),
        Change("C", "/opaque"),
        Change("D", "/etc/gone"),
        Change("A", "/etc/new"),
        Change("C", "/etc/passwd"),
        Change("A", "/made/by"),
        Change("A", "/opaque/old"),
    ]
