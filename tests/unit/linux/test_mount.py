"""The mount calls on file systems that every kernel has."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.linux import mount

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def test_mountinfo_is_read_with_its_escapes(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(
        "36 35 98:0 /mnt1 /mnt/with\\040blank\\134and\\011tab rw,noatime master:1 shared:2"
        " - ext3 /dev/root\\012x rw,errors=continue\n"
        "37 36 0:5 / /proc ro - proc proc rw\n"
    )
    first, second = mount.mounts(str(tmp_path / "mountinfo"))
    assert first == mount.Mount(
        36,
        35,
        "98:0",
        "/mnt1",
        "/mnt/with blank\\and\ttab",
        ("rw", "noatime"),
        ("master:1", "shared:2"),
        "ext3",
        "/dev/root\nx",
        ("rw", "errors=continue"),
    )
    assert second.propagation == ()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_escapes_of_the_kernel_are_undone(text: str) -> None:
    escaped = text
    for char in "\\ \t\n":
        escaped = escaped.replace(char, f"\\{ord(char):03o}")
    assert mount._plain(escaped) == text


def test_the_own_mounts_can_be_read() -> None:
    assert any(entry.path == "/" for entry in mount.mounts())


@pytest.mark.root
@needs_root
def test_a_detached_mount_is_attached_and_unmounted(tmp_path: Path) -> None:
    mounted = mount.detached(
        "tmpfs", [("size", "1m"), ("ro", None)], mount.MOUNT_ATTR_NOSUID | mount.MOUNT_ATTR_NODEV
    )
    try:
        assert os.listdir(f"/proc/self/fd/{mounted}") == []
        mount.attach(mounted, str(tmp_path))
    finally:
        os.close(mounted)
    try:
        found = [entry for entry in mount.mounts() if entry.path == str(tmp_path)]
        assert [entry.filesystem for entry in found] == ["tmpfs"]
        assert {"nosuid", "nodev"} <= set(found[0].options)
        assert {"ro", "size=1024k"} <= set(found[0].super_options)
    finally:
        mount.unmount(str(tmp_path))


@pytest.mark.root
@needs_root
def test_a_copy_of_a_mount_takes_attributes_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "source").mkdir()
    copy = mount.open_tree(str(tmp_path / "source"), mount.OPEN_TREE_CLONE)
    target = os.open(tmp_path / "target", os.O_PATH | os.O_DIRECTORY)
    try:
        mount.set_attributes(copy, mount.MOUNT_ATTR_RDONLY)
        mount.attach(copy, target)
        with pytest.raises(OSError) as caught:
            (tmp_path / "target/file").write_text("")
        assert caught.value.errno == errno.EROFS
        (tmp_path / "source/file").write_text("")
    finally:
        os.close(copy)
        os.close(target)
        mount.unmount(str(tmp_path / "target"), mount.MNT_DETACH)


@pytest.mark.root
@needs_root
def test_an_error_of_a_file_system_context_carries_the_kernels_words(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="size"):
        mount.detached("tmpfs", [("size", "nonsense")])


@pytest.mark.root
@needs_root
def test_a_value_too_long_for_fsconfig_is_refused_by_name() -> None:
    with pytest.raises(OSError, match="255 bytes"):
        mount.detached("tmpfs", [("source", "x" * 256)])


@pytest.mark.root
@needs_root
def test_unmounting_what_is_not_mounted_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        mount.unmount(str(tmp_path))
    assert caught.value.errno == errno.EINVAL
    assert caught.value.filename == str(tmp_path)
