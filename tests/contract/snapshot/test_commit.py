"""What a container wrote becomes a layer that shows the same on top of the same image."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from casemate.layer import diff
from casemate.layer.diff import Change
from casemate.oci.digest import Digest
from casemate.snapshot.below import Below
from contract.snapshot.conftest import Room, mounted
from contract.snapshot.trees import described, directory, file, symlink

pytestmark = pytest.mark.root


def image(room: Room) -> list[Digest]:
    """Return an image of three layers, with a few things hidden already."""
    return [
        room.add(
            directory(b".", 0o755),
            directory(b"etc"),
            file(b"etc/passwd", b"root"),
            file(b"etc/group", b"root"),
            directory(b"usr"),
            directory(b"usr/lib"),
            file(b"usr/lib/libc", b"c" * 5000),
            file(b"hidden"),
            directory(b"opaque"),
            file(b"opaque/old"),
        ),
        room.add(file(b".wh.hidden"), directory(b"opaque"), file(b"opaque/.wh..wh..opq")),
        room.add(symlink(b"lib", b"usr/lib"), directory(b"var"), file(b"var/log", b"x")),
    ]


def work(root: str) -> None:
    """Do what programs do to a root file system."""
    top = Path(root)
    (top / "etc/passwd").write_text("changed")
    (top / "etc/group").unlink()
    (top / "etc/new").write_text("new")
    shutil.rmtree(top / "usr")
    (top / "usr").mkdir()
    (top / "usr/only").write_text("only")
    (top / "lib").unlink()
    (top / "lib").mkdir()
    (top / "hidden").write_text("back")
    (top / "opaque").rmdir()
    (top / "opaque").write_text("a file now")
    (top / "a").write_text("linked")
    os.link(top / "a", top / "etc/b")
    os.chown(top / "var/log", 5, 6)
    os.setxattr(top / "var/log", "user.note", b"1")
    os.mkfifo(top / "fifo")
    with open(top / "sparse", "wb") as target:
        target.seek(50 << 20)
        target.write(b"end")
    (top / ".hidden file\n").write_text("")
    top.chmod(0o711)


def seconds(tree: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
    """Return the description with times as an archive keeps them."""
    return {
        path: (*found[:3], int(str(found[3])) // 10**9, *found[4:]) for path, found in tree.items()
    }


def test_a_committed_layer_shows_what_the_container_saw(room: Room) -> None:
    layers = image(room)
    prepared = room.snapshotter.prepare("key", layers)
    assert prepared.upper is not None
    with mounted(prepared) as root:
        work(root)
        seen = seconds(described(root))
    top = room.add_archive(b"".join(diff.archive(prepared.upper, "key")))
    with mounted(room.snapshotter.view([*layers, top])) as view:
        assert seconds(described(view)) == seen
    with mounted(room.snapshotter.prepare("next", [*layers, top])) as root:
        assert seconds(described(root)) == seen
        assert stat.S_IMODE(os.stat(root).st_mode) == 0o711
    room.store.verify(top)


def test_committing_twice_gives_the_same_layer(room: Room) -> None:
    prepared = room.snapshotter.prepare("key", image(room))
    assert prepared.upper is not None
    with mounted(prepared) as root:
        work(root)
        during = b"".join(diff.archive(prepared.upper, "key"))
    assert b"".join(diff.archive(prepared.upper, "key")) == during


def test_a_container_that_wrote_nothing_has_an_empty_layer(room: Room) -> None:
    prepared = room.snapshotter.prepare("key", image(room))
    assert prepared.upper is not None
    with mounted(prepared) as root:
        assert os.path.exists(f"{root}/etc/passwd")
    assert len(b"".join(diff.archive(prepared.upper, "key"))) == 512 + 1024


def test_changes_are_those_that_the_container_made(room: Room) -> None:
    prepared = room.snapshotter.prepare("key", image(room))
    assert prepared.upper is not None
    with mounted(prepared) as root:
        work(root)
    with Below(prepared) as below:
        found = set(diff.changes(prepared.upper, below.has, "key"))
        for path in (b"etc", b"etc/passwd", b"usr/lib/libc", b"lib", b"var/log", b"opaque"):
            assert below.has(path)
        for path in (b"hidden", b"opaque/old", b"lib/libc", b"etc/passwd/x", b"none/x"):
            assert not below.has(path)
    kinds = {change.path: change.kind for change in found}
    assert kinds == {
        "/etc": "C",
        "/etc/passwd": "C",
        "/etc/group": "D",
        "/etc/new": "A",
        "/etc/b": "A",
        "/usr": "C",
        "/usr/only": "A",
        "/lib": "C",
        "/hidden": "A",
        "/opaque": "C",
        "/a": "A",
        "/var": "C",
        "/var/log": "C",
        "/fifo": "A",
        "/sparse": "A",
        "/.hidden file\n": "A",
    }
    assert Change("D", "/etc/group") in found


def test_other_tools_read_a_committed_layer(room: Room) -> None:
    prepared = room.snapshotter.prepare("key", image(room))
    assert prepared.upper is not None
    with mounted(prepared) as root:
        work(root)
    archive = b"".join(diff.archive(prepared.upper, "key"))
    listed = subprocess.run(
        ["tar", "-tf", "-", "--quoting-style=literal"],
        input=archive,
        capture_output=True,
        check=True,
    )
    assert listed.stderr == b""
    names = set(listed.stdout.decode().replace("file\n\n", "file\\n\n").splitlines())
    assert {"./", "etc/.wh.group", "usr/.wh..wh..opq", "usr/only", "sparse"} <= names
