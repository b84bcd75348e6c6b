"""The in-root opener: nothing that a tree holds leads out of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.linux import inroot


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root").mkdir()
    descriptor = inroot.open_root(str(tmp_path / "root"))
    yield descriptor
    os.close(descriptor)


def opened(root: int, path: str) -> os.stat_result:
    descriptor = inroot.open_in(root, path)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def test_links_and_dots_stay_inside_the_root(root: int, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    inside = tmp_path / "root"
    (inside / "secret").write_text("inside")
    (inside / "absolute").symlink_to("/secret")
    (inside / "relative").symlink_to("../../secret")
    expected = os.stat(inside / "secret").st_ino
    for path in ("secret", "/secret", "../secret", "a/../../secret", "absolute", "relative"):
        if path.startswith("a/"):
            (inside / "a").mkdir()
        assert opened(root, path).st_ino == expected


def test_the_empty_path_and_the_slash_are_the_root(root: int, tmp_path: Path) -> None:
    for path in ("", "/", "."):
        assert opened(root, path).st_ino == os.stat(tmp_path / "root").st_ino


def test_magic_links_are_refused() -> None:
    proc = inroot.open_root("/proc")
    try:
        with pytest.raises(OSError) as caught:
            inroot.open_in(proc, "self/root")
        assert caught.value.errno == errno.ELOOP
    finally:
        os.close(proc)


def test_a_nul_byte_in_a_path_is_refused(root: int) -> None:
    with pytest.raises(ValueError, match="NUL"):
        inroot.open_in(root, "a\0b")


def test_directories_are_made_through_links_inside_the_root(root: int, tmp_path: Path) -> None:
    inside = tmp_path / "root"
    (inside / "target").mkdir()
    (inside / "link").symlink_to("/target")
    os.close(inroot.make_directories(root, "link/a/../b//c"))
    assert (inside / "target/a").is_dir()
    assert (inside / "target/b/c").is_dir()
    assert sorted(os.listdir(tmp_path)) == ["root"]


def test_directories_are_not_made_through_a_dangling_link(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/link").symlink_to("/nowhere")
    with pytest.raises(FileNotFoundError):
        inroot.make_directories(root, "link/a")
    assert not (tmp_path / "root/nowhere").exists()


def test_directories_are_not_made_below_a_file(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/file").write_text("")
    with pytest.raises(NotADirectoryError):
        inroot.make_directories(root, "file/a")


def test_only_regular_files_of_bounded_size_are_read(root: int, tmp_path: Path) -> None:
    inside = tmp_path / "root"
    (inside / "file").write_bytes(b"x" * 100)
    os.mkfifo(inside / "fifo")
    assert inroot.read_file(root, "file", 100) == b"x" * 100
    for path, limit, code in (
        ("file", 99, errno.EFBIG),
        ("fifo", 9, errno.EINVAL),
        ("", 9, errno.EINVAL),
    ):
        with pytest.raises(OSError) as caught:
            inroot.read_file(root, path, limit)
        assert caught.value.errno == code


def test_descriptors_are_closed_whatever_happens(root: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "root/fifo")
    before = os.listdir("/proc/self/fd")
    for call in (
        lambda: inroot.read_file(root, "fifo", 1),
        lambda: inroot.make_directories(root, "fifo/a"),
        lambda: inroot.remove(root, "fifo/a"),
    ):
        with pytest.raises(OSError):
            call()
    os.close(inroot.make_directories(root, "a/b/c"))
    inroot.remove(root, "a")
    assert os.listdir("/proc/self/fd") == before


def test_removing_does_not_follow_links(root: int, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("")
    tree = tmp_path / "root/tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/link").symlink_to(tmp_path / "kept")
    (tmp_path / "root/link").symlink_to("tree")
    inroot.remove(root, "link")
    assert (tree / "deep").is_dir()
    inroot.remove(root, "tree")
    assert not tree.exists()
    assert (tmp_path / "kept/file").exists()


@pytest.mark.parametrize("path", ["", "/", ".", "a/..", ".."])
def test_the_root_itself_is_not_removed(root: int, path: str) -> None:
    with pytest.raises(OSError) as caught:
        inroot.remove(root, path)
    assert caught.value.errno == errno.EINVAL


def test_a_tree_deeper_than_any_path_and_than_the_open_files_is_removed(
    root: int, tmp_path: Path
) -> None:
    current = os.open(tmp_path / "root", os.O_PATH)
    os.mkdir("tree", dir_fd=current)
    for name in ("tree", *["d" * 50] * 1500):
        deeper = os.open(name, os.O_PATH, dir_fd=current)
        os.close(current)
        current = deeper
        os.mkdir("d" * 50, dir_fd=current)
        os.mkdir("other", dir_fd=current)
    os.close(current)
    inroot.remove(root, "tree")
    assert os.listdir(tmp_path / "root") == []


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_removing_does_not_enter_a_mount(root: int, tmp_path: Path) -> None:
    from casemate.linux import mount

    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/file").write_text("")
    target = tmp_path / "root/tree/mounted"
    target.mkdir(parents=True)
    mount.mount(str(tmp_path / "volume"), str(target), "", mount.MS_BIND)
    try:
        with pytest.raises(OSError) as caught:
            inroot.remove(root, "tree")
        assert caught.value.errno == errno.EXDEV
        assert (tmp_path / "volume/file").exists()
    finally:
        mount.unmount(str(target))
    inroot.remove(root, "tree")


def test_an_entry_is_opened_itself_or_not_at_all(root: int, tmp_path: Path) -> None:
    inside = tmp_path / "root"
    (inside / "file").write_text("data")
    (inside / "link").symlink_to("file")
    os.mkfifo(inside / "fifo")
    descriptor = inroot.open_regular_entry(root, "file")
    assert os.read(descriptor, 10) == b"data"
    os.close(descriptor)
    for name, code in (("link", errno.ELOOP), ("fifo", errno.EINVAL), ("none", errno.ENOENT)):
        with pytest.raises(OSError) as caught:
            os.close(inroot.open_regular_entry(root, name))
        assert caught.value.errno == code
