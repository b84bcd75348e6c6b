"""A root file system is what GNU tar would have unpacked, layer by layer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from casemate.layer.tar import Entry
from contract.snapshot.conftest import Room, mounted
from contract.snapshot.trees import (
    archive,
    described,
    directory,
    extracted,
    file,
    members,
    symlink,
)

pytestmark = pytest.mark.root


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(members())
def test_any_honest_archive_looks_as_gnu_tar_unpacks_it(
    room: Room, layer: list[tuple[Entry, bytes]]
) -> None:
    data = archive(layer)
    diff_id = room.add_archive(data)
    with tempfile.TemporaryDirectory(dir=room.place) as oracle:
        extracted(data, Path(oracle))
        expected = described(oracle)
        with mounted(room.snapshotter.view([diff_id])) as view:
            found = described(view)
        # The root of a view is that of an overlay's topmost layer.
        assert found == expected
    room.snapshotter.release(diff_id)
    room.store.delete(diff_id)


def test_a_real_tree_looks_as_gnu_tar_unpacks_it(room: Room) -> None:
    library = sysconfig.get_path("stdlib")
    tar = room.place / "real.tar"
    but = [f"--exclude={name}" for name in ("__pycache__", "site-packages", "test", "config-*")]
    subprocess.run(["tar", "-cf", str(tar), *but, "-C", library, "."], check=True)
    diff_id = room.add_archive(tar.read_bytes())
    (room.place / "oracle").mkdir()
    extracted(tar.read_bytes(), room.place / "oracle")
    with mounted(room.snapshotter.view([diff_id])) as view:
        assert described(view) == described(str(room.place / "oracle"))


def test_upper_layers_win_and_whiteouts_hide(room: Room) -> None:
    base = room.add(
        directory(b"d", 0o700),
        file(b"d/kept", b"base"),
        file(b"d/changed", b"base"),
        file(b"d/gone", b"base"),
        directory(b"opaque"),
        file(b"opaque/hidden"),
        directory(b"becomes-file"),
        file(b"becomes-file/x"),
        file(b"becomes-directory"),
        directory(b"whited"),
        file(b"whited/old"),
    )
    top = room.add(
        directory(b"d", 0o711),
        file(b"d/changed", b"top"),
        file(b"d/.wh.gone"),
        directory(b"opaque"),
        file(b"opaque/.wh..wh..opq"),
        file(b"opaque/new"),
        file(b"becomes-file"),
        directory(b"becomes-directory"),
        file(b"becomes-directory/y"),
        file(b".wh.whited"),
        directory(b"whited"),
        file(b"whited/new"),
        file(b".wh.never-was"),
    )
    with mounted(room.snapshotter.view([base, top])) as view:
        found = described(view)
        assert set(found) == {
            "",
            "d",
            "d/kept",
            "d/changed",
            "opaque",
            "opaque/new",
            "becomes-file",
            "becomes-directory",
            "becomes-directory/y",
            "whited",
            "whited/new",
        }
        assert found["d"][0] == oct(0o040711)
        assert Path(view, "d/changed").read_bytes() == b"top"
        assert Path(view, "becomes-file").is_file()


def test_a_layer_that_hides_everything_below_it_does(room: Room) -> None:
    base = room.add(directory(b"d"), file(b"d/x"), file(b"y"))
    cut = room.add(file(b".wh..wh..opq"), file(b"z"))
    top = room.add(file(b"t"))
    with mounted(room.snapshotter.view([base, cut, top])) as view:
        assert sorted(os.listdir(view)) == ["t", "z"]


def test_whiteouts_of_the_lowest_layer_show_nothing(room: Room) -> None:
    only = room.add(file(b".wh.x"), directory(b"d"), file(b"d/.wh..wh..opq"))
    with mounted(room.snapshotter.view([only])) as view:
        assert os.listdir(view) == ["d"]
    with mounted(room.snapshotter.prepare("key", [only])) as root:
        assert os.listdir(root) == ["d"]


def test_a_layer_that_comes_twice_counts_where_it_is_uppermost(room: Room) -> None:
    first = room.add(file(b"a", b"first"), file(b".wh.b"))
    second = room.add(file(b"a", b"second"), file(b"b"), file(b"c"))
    with mounted(room.snapshotter.view([first, second, first])) as view:
        assert Path(view, "a").read_bytes() == b"first"
        assert sorted(os.listdir(view)) == ["a", "c"]


def test_many_layers_stack(room: Room) -> None:
    layers = [room.add(file(b"last", b"%d" % at), file(b"f%d" % at)) for at in range(130)]
    with mounted(room.snapshotter.prepare("key", layers)) as root:
        assert len(os.listdir(root)) == 131
        assert Path(root, "last").read_bytes() == b"129"


def test_links_of_all_lengths_are_read(room: Room) -> None:
    lengths = [*range(1, 70), *range(400, 560), 4094, 4095]
    layer = room.add(*(symlink(b"l%d" % length, b"t" * length) for length in lengths))
    with mounted(room.snapshotter.view([layer])) as view:
        for length in lengths:
            assert os.readlink(f"{view}/l{length}") == "t" * length


def test_directories_of_any_size_are_searched_and_listed(room: Room) -> None:
    names = [b"name-%d" % at + b"x" * (at % 240) for at in range(5000)]
    names += [b"#", b"-", b"!", b".a", b"..b", b"\xff"]
    layer = room.add(*(file(b"d/" + name) for name in names))
    with mounted(room.snapshotter.view([layer])) as view:
        assert set(os.listdir(os.fsencode(view) + b"/d")) == set(names)
        for name in names[::7]:
            os.lstat(os.fsencode(view) + b"/d/" + name)
        with pytest.raises(FileNotFoundError):
            os.lstat(f"{view}/d/name-5001")


def test_a_file_may_have_more_names_than_sixteen_bits_count(room: Room) -> None:
    if room.kind == "directories":
        pytest.skip("the file system below has a limit of its own (ext4: 65000)")
    links = [(Entry(b"l%d" % at, "link", 0, 0, 0, 0, target=b"f"), b"") for at in range(70_000)]
    layer = room.add(file(b"f", b"data"), *links)
    with mounted(room.snapshotter.view([layer])) as view:
        assert os.stat(f"{view}/f").st_nlink == 70_001
        assert Path(view, "l69999").read_bytes() == b"data"


def test_a_huge_sparse_file_costs_nothing(room: Room) -> None:
    size = 1 << 38
    data = b"beg".ljust(512, b"\0") + b"end"
    entry = file(b"s", data, size=size, stored=515, extents=((0, 512), (size - 3, 3)))
    layer = room.add(entry)
    assert room.store.usage(layer) < 1 << 20
    with mounted(room.snapshotter.view([layer])) as view:
        assert os.stat(f"{view}/s").st_size == size
        with open(f"{view}/s", "rb") as opened:
            assert opened.read(5) == b"beg\0\0"
            opened.seek(size // 2)
            assert opened.read(4) == bytes(4)
            opened.seek(-5, os.SEEK_END)
            assert opened.read() == b"\0\0end"


def test_times_before_1970_and_far_away_are_kept(room: Room) -> None:
    if room.kind == "directories":
        pytest.skip("the file system below has a range of its own")
    times = [-1, -(10**18), 2**62, 123_456_789_012_345_678]
    layer = room.add(*(file(b"t%d" % at, mtime_ns=time) for at, time in enumerate(times)))
    with mounted(room.snapshotter.view([layer])) as view:
        assert [os.stat(f"{view}/t{at}").st_mtime_ns for at in range(4)] == times


def test_programs_run_and_set_user_ids_count_in_the_container(room: Room) -> None:
    program = shutil.which("id")
    assert program is not None
    layer = room.add(file(b"id", Path(program).read_bytes(), 0o4755))
    root = room.snapshotter.prepare("key", [layer])
    target = room.place / "merged"
    target.mkdir()
    script = (
        f"mount -t overlay -o '{root.options()}' overlay {target}; cd {target}\n"
        "exec setpriv --reuid=1000 --regid=1000 --clear-groups ./id -u"
    )
    command = ["unshare", "--mount", "sh", "-ec", script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_what_a_container_writes_is_in_its_upper_only(room: Room) -> None:
    layer = room.add(directory(b"d"), file(b"d/f", b"image"))
    first = room.snapshotter.prepare("one", [layer])
    second = room.snapshotter.prepare("two", [layer])
    with mounted(first) as one, mounted(second) as two:
        Path(one, "d/f").write_text("changed")
        Path(one, "d/new").write_text("new")
        assert Path(two, "d/f").read_bytes() == b"image"
        os.unlink(f"{two}/d/f")
        assert Path(one, "d/f").read_text() == "changed"
    with mounted(room.snapshotter.mounts("one")) as one:
        assert Path(one, "d/f").read_text() == "changed"
    with mounted(room.snapshotter.mounts("two")) as two:
        assert os.listdir(f"{two}/d") == []
