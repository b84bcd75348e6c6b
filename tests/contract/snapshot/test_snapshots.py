"""What every snapshotter promises: keys, layers, leftovers, and the next engine."""

from __future__ import annotations

import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from casemate.errors import AlreadyExists, DataLoss, InvalidArgument, NotFound
from casemate.oci.digest import Digest
from casemate.snapshot.snapshots import Snapshotter
from contract.snapshot.conftest import Room, mounted
from contract.snapshot.trees import directory, file

pytestmark = pytest.mark.root

ABSENT = Digest("sha256:" + "0" * 64)


def test_a_prepared_snapshot_names_what_is_to_be_mounted(room: Room) -> None:
    base, top = room.add(file(b"a")), room.add(file(b"b"))
    root = room.snapshotter.prepare("key", [base, top])
    assert [os.listdir(path) for path in root.lower] == [["b"], ["a"]]
    assert root.upper is not None
    assert root.work is not None
    assert os.listdir(root.upper) == os.listdir(root.work) == []
    assert not root.volatile
    assert room.snapshotter.mounts("key") == root
    assert room.snapshotter.view([base, top]).lower == root.lower


def test_no_root_file_system_is_visible_on_the_host(room: Room) -> None:
    room.snapshotter.prepare("key", [room.add(file(b"a"))])
    assert "overlay" not in [entry.filesystem for entry in room.mounts()]
    layers = [entry for entry in room.mounts() if entry.filesystem == "erofs"]
    assert len(layers) == (1 if room.kind == "erofs" else 0)
    assert all({"ro", "nosuid", "nodev", "noexec"} <= set(entry.options) for entry in layers)


def test_an_image_without_layers_is_an_empty_root(room: Room) -> None:
    with mounted(room.snapshotter.prepare("key", [])) as root:
        assert os.listdir(root) == []
        assert stat.S_IMODE(os.stat(root).st_mode) == 0o755
        Path(root, "x").write_text("")
    with mounted(room.snapshotter.mounts("key")) as root:
        assert os.listdir(root) == ["x"]
    room.snapshotter.prepare("other", [])


@pytest.mark.parametrize("named", [[0], [1], [0, 1], []])
def test_the_root_is_as_the_topmost_layer_that_names_it_says(room: Room, named: list[int]) -> None:
    layers = []
    for at, mode in enumerate((0o1777, 0o2710)):
        members = [file(b"f%d" % at)]
        if at in named:
            members.append(directory(b".", mode, uid=10 + at, gid=20 + at, mtime_ns=10**18 + at))
        layers.append(room.add(*members))
    root = room.snapshotter.prepare("key", layers)
    assert root.upper is not None
    status = os.stat(root.upper)
    found = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns
    if named:
        at = named[-1]
        assert found == ((0o1777, 0o2710)[at], 10 + at, 20 + at, 10**18 + at)
    else:
        assert found[:3] == (0o755, 0, 0)


def test_a_key_is_taken_once(room: Room) -> None:
    layer = room.add(file(b"a"))
    root = room.snapshotter.prepare("key", [layer])
    assert root.upper is not None
    Path(root.upper, "written").write_text("")
    with pytest.raises(AlreadyExists, match="snapshot key exists"):
        room.snapshotter.prepare("key", [layer])
    assert os.listdir(root.upper) == ["written"]
    assert os.listdir(room.place / "snapshots/.work") == []


@pytest.mark.parametrize("key", ["", ".", "..", ".work", "a/b", "a\0", "a b", "x" * 129, "ä"])
def test_a_key_that_is_no_plain_name_is_refused(room: Room, key: str) -> None:
    for call in (
        lambda: room.snapshotter.prepare(key, []),
        lambda: room.snapshotter.mounts(key),
        lambda: room.remove(key),
        lambda: room.snapshotter.usage(key),
    ):
        with pytest.raises(InvalidArgument, match="invalid snapshot key"):
            call()


def test_what_does_not_exist_is_not_found(room: Room) -> None:
    for call in (
        lambda: room.snapshotter.mounts("key"),
        lambda: room.remove("key"),
        lambda: room.snapshotter.usage("key"),
        lambda: room.snapshotter.ensure(ABSENT),
        lambda: room.snapshotter.prepare("key", [ABSENT]),
    ):
        with pytest.raises(NotFound):
            call()
    assert room.snapshotter.keys() == []
    room.snapshotter.release(ABSENT)


def test_removing_leaves_nothing_and_other_snapshots_alone(room: Room) -> None:
    layer = room.add(directory(b"d"), file(b"d/f"))
    for key in ("one", "two"):
        with mounted(room.snapshotter.prepare(key, [layer])) as root:
            os.makedirs(f"{root}/deep/er")
            Path(root, "d/f").write_text("x")
    assert room.snapshotter.keys() == ["one", "two"]
    room.remove("one")
    assert room.snapshotter.keys() == ["two"]
    assert sorted(os.listdir(room.place / "snapshots")) == [".empty", ".work", "two"]
    assert os.listdir(room.place / "snapshots/.work") == []
    with mounted(room.snapshotter.mounts("two")) as root:
        assert os.path.isdir(f"{root}/deep/er")


def test_usage_is_what_the_writable_layer_takes(room: Room) -> None:
    layer = room.add(file(b"f", b"x" * 100_000))
    with mounted(room.snapshotter.prepare("key", [layer])) as root:
        before = room.snapshotter.usage("key")
        assert before < 20_000
        Path(root, "new").write_bytes(b"y" * 1_000_000)
        os.link(f"{root}/new", f"{root}/same")
        with open(f"{root}/sparse", "wb") as sparse:
            sparse.truncate(1 << 30)
        os.sync()
        grown = room.snapshotter.usage("key") - before
    assert 1_000_000 <= grown < 1_100_000


def test_a_layer_is_made_a_directory_once_whoever_asks(room: Room) -> None:
    layer = room.add(*(file(b"f%d" % at) for at in range(300)))
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(room.snapshotter.ensure, [layer] * 40))
    assert len(paths) == 1
    assert len(os.listdir(paths.pop())) == 300
    layers = [entry for entry in room.mounts() if entry.filesystem == "erofs"]
    assert len(layers) == (1 if room.kind == "erofs" else 0)


def test_snapshots_are_prepared_by_many_threads(room: Room) -> None:
    layer = room.add(file(b"f"))
    keys = [f"k{at}" for at in range(60)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda key: room.snapshotter.prepare(key, [layer]), keys))
        assert room.snapshotter.keys() == sorted(keys)
        list(pool.map(room.remove, keys))
    assert room.snapshotter.keys() == []


def test_the_next_engine_finds_what_the_last_one_left(room: Room) -> None:
    layer = room.add(file(b"f", b"data"))
    root = room.snapshotter.prepare("key", [layer])
    before = room.mounts()
    later = Snapshotter(str(room.place), room.store, room.new_lowers())
    assert later.mounts("key") == root
    assert later.ensure(layer) == root.lower[0]
    assert room.mounts() == before
    later.release(layer)
    assert not os.path.exists(root.lower[0])
    assert "erofs" not in [entry.filesystem for entry in room.mounts()]


def test_a_released_layer_comes_back_when_it_is_needed(room: Room) -> None:
    layer = room.add(file(b"f"))
    root = room.snapshotter.prepare("key", [layer])
    room.snapshotter.release(layer)
    room.snapshotter.release(layer)
    with mounted(room.snapshotter.mounts("key")) as view:
        assert os.listdir(view) == ["f"]
    assert root.lower == room.snapshotter.mounts("key").lower


def test_a_deleted_layer_is_missed(room: Room) -> None:
    layer = room.add(file(b"f"))
    room.snapshotter.prepare("key", [layer])
    assert list(room.snapshotter.check()) == []
    room.snapshotter.release(layer)
    room.store.delete(layer)
    (finding,) = room.snapshotter.check()
    assert (finding.problem, finding.path) == ("missing", f"{room.place}/snapshots/key")
    assert finding.diff_id == layer
    assert layer in finding.detail
    with pytest.raises(NotFound):
        room.snapshotter.mounts("key")


def test_a_layer_of_nobody_is_an_orphan(room: Room) -> None:
    layer = room.add(file(b"f"))
    path = room.snapshotter.ensure(layer)
    room.store.delete(layer)
    (finding,) = room.snapshotter.check()
    assert (finding.problem, finding.path, finding.diff_id) == ("orphan", path, layer)
    assert room.snapshotter.clean() == 0
    assert os.listdir(path) == ["f"]
    room.snapshotter.release(finding.diff_id)
    assert list(room.snapshotter.check()) == []


def test_damaged_snapshots_are_found_and_named(room: Room) -> None:
    layer = room.add(file(b"f"))
    top = room.place / "snapshots"
    for key in ("empty", "listless", "garbled", "whole"):
        room.snapshotter.prepare(key, [layer])
    (top / "empty/layers").write_text("")
    (top / "listless/layers").unlink()
    (top / "garbled/layers").write_text('["sha256:xyz"]')
    os.rmdir(top / "whole/upper")
    found = {(f.problem, os.path.basename(f.path)) for f in room.snapshotter.check()}
    assert found == {("damaged", key) for key in ("empty", "listless", "garbled", "whole")}
    for key in ("empty", "garbled"):
        with pytest.raises(DataLoss, match=f"snapshot {key} is damaged"):
            room.snapshotter.mounts(key)
    for key in ("empty", "listless", "garbled", "whole"):
        room.remove(key)
    assert list(room.snapshotter.check()) == []


def test_what_a_crash_left_is_cleaned(room: Room) -> None:
    left = room.place / "snapshots/.work/0123456789abcdef/upper/d"
    left.mkdir(parents=True)
    (left / "f").write_text("")
    assert room.snapshotter.clean() == 1
    assert os.listdir(room.place / "snapshots/.work") == []
    assert room.snapshotter.clean() == 0


def test_what_a_crash_left_of_a_layer_is_cleaned(room: Room) -> None:
    layer = room.add(file(b"f"))
    if room.kind == "erofs":
        left = room.place / "run/layers" / layer.partition(":")[2]
    else:
        left = room.place / "unpacked/.work/0123456789abcdef"
    left.mkdir()
    assert room.snapshotter.clean() == 1
    assert not left.exists()
    assert os.listdir(room.snapshotter.ensure(layer)) == ["f"]


def test_a_snapshot_that_is_removed_is_gone_and_emptied_later(room: Room) -> None:
    root = room.snapshotter.prepare("key", [room.add(file(b"f"))])
    assert root.upper is not None
    Path(root.upper, "written").write_text("")
    room.remove("key")
    assert room.snapshotter.keys() == []
    with pytest.raises(NotFound):
        room.remove("key")
    room.snapshotter.prepare("key", [])
    assert len(os.listdir(room.place / "trash")) == 1
    room.trash.empty()
    assert os.listdir(room.place / "trash") == []
    assert room.snapshotter.keys() == ["key"]


def test_only_the_owner_may_enter(room: Room) -> None:
    room.snapshotter.prepare("key", [room.add(file(b"f"))])
    for name in ("layers", "snapshots", "run/layers", "unpacked"):
        if (path := room.place / name).exists():
            assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.parametrize("lost", ["", "layers", "upper", "work", "all", "content"])
def test_what_a_loss_of_power_took_is_made_again_and_the_rest_stays(room: Room, lost: str) -> None:
    layer = room.add(directory(b".", mode=0o751), file(b"f"))
    with mounted(room.snapshotter.prepare("key", [layer])) as root:
        Path(root, "mine").write_text("x")
    path = room.place / "snapshots/key"
    if lost == "content":
        (path / "layers").write_text("")
    elif lost == "layers":
        (path / "layers").unlink()
    elif lost:
        shutil.rmtree(path if lost == "all" else path / lost)
    room.snapshotter.restore("key", [layer])
    assert list(room.snapshotter.check()) == []
    with mounted(room.snapshotter.mounts("key")) as root:
        assert Path(root, "f").exists() and os.stat(root).st_mode & 0o777 == 0o751
        assert Path(root, "mine").exists() == (lost not in ("upper", "all"))
    assert os.listdir(room.place / "snapshots/.work") == []
