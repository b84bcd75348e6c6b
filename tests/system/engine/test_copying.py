"""Files in and out of containers, whatever state they are in."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import socket
import stat
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.errors import Conflict, InvalidArgument, NotFound
from casemate.http.client import Client
from support import images
from support.engine import PREFIX, RunningEngine, eventually
from support.files import content, got, look, put, raw
from support.images import member, tar

pytestmark = pytest.mark.root

STATES = ("created", "running", "paused", "exited")
SLEEP = ("sleep", "1000")


def container(engine: RunningEngine, state: str, **host: object) -> str:
    """Return a container in the given state."""
    id_ = engine.create("busybox", *SLEEP, **host)
    if state != "created":
        engine.start_container(id_)
    if state == "paused":
        engine.client.post(f"/containers/{id_}/pause")
    if state == "exited":
        engine.client.post(f"/containers/{id_}/kill")
        engine.wait(id_)
    return id_


@pytest.mark.parametrize("state", STATES)
def test_in_and_out_in_every_state(engine: RunningEngine, state: str) -> None:
    id_ = container(engine, state)
    put(engine, id_, tar({"new/": b"", "new/file": b"text", "new/link": "file"}), "/root")
    found = got(engine, id_, "/root/new")
    assert sorted(found) == ["new", "new/file", "new/link"]
    assert found["new/link"].linkname == "file"
    assert content(engine, id_, "/root/new/file") == b"text"
    changed = engine.client.get(f"/containers/{id_}/changes")
    assert {"Path": "/root/new/file", "Kind": 1} in changed
    if state in ("created", "exited"):
        engine.start_container(id_)
        assert engine.exec(id_, "cat", "/root/new/link").out == b"text"


@pytest.mark.parametrize("state", ["created", "running", "exited"])
def test_what_is_mounted_is_seen(engine: RunningEngine, state: str, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("host")
    id_ = container(engine, state, Binds=[f"{tmp_path}:/data", f"{tmp_path}/given:/one"])
    assert content(engine, id_, "/data/given") == content(engine, id_, "/one") == b"host"
    put(engine, id_, tar({"back": b"container"}), "/data")
    assert (tmp_path / "back").read_bytes() == b"container"
    assert sorted(got(engine, id_, "/data")) == ["data", "data/back", "data/given"]
    if state != "created":
        assert content(engine, id_, "/etc/hostname").decode().strip() == id_[:12]


def test_a_tmpfs_is_seen_while_it_is_there(engine: RunningEngine) -> None:
    id_ = container(engine, "running", Tmpfs={"/t": ""})
    put(engine, id_, tar({"x": b"1"}), "/t")
    assert engine.exec(id_, "cat", "/t/x").out == b"1"
    assert content(engine, id_, "/t/x") == b"1"


@pytest.mark.parametrize("state", ["created", "running"])
def test_what_is_read_only_stays_so(engine: RunningEngine, state: str, tmp_path: Path) -> None:
    binds = [f"{tmp_path}:/ro:ro", f"{tmp_path}:/rw"]
    id_ = container(engine, state, ReadonlyRootfs=True, Binds=binds)
    with pytest.raises(InvalidArgument, match="container rootfs is marked read-only"):
        put(engine, id_, tar({"x": b""}), "/etc")
    with pytest.raises(InvalidArgument, match="mounted volume is marked read-only"):
        put(engine, id_, tar({"x": b""}), "/ro")
    put(engine, id_, tar({"x": b""}), "/rw")
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("state", ["created", "running"])
def test_a_root_that_is_read_only_by_its_profile_stays_so(
    engine: RunningEngine, state: str
) -> None:
    id_ = container(engine, state, Isolation="sandbox")
    with pytest.raises(InvalidArgument, match="container rootfs is marked read-only"):
        put(engine, id_, tar({"x": b""}), "/etc")


def test_the_kernels_own_file_systems_are_left_alone(engine: RunningEngine) -> None:
    id_ = container(engine, "running", Privileged=True)
    for path in ("/proc", "/proc/sys", "/sys", "/dev/pts"):
        with pytest.raises(InvalidArgument, match="which the kernel makes up"):
            put(engine, id_, tar({"x": b""}), path)
    with pytest.raises(InvalidArgument, match="which the kernel makes up"):
        raw(engine, id_, "/proc/cpuinfo")
    found = got(engine, id_, "/.")
    assert "./proc" in found
    assert not [name for name in found if name.startswith(("./proc/", "./sys/"))]
    before = engine.exec(id_, "stat", "-c", "%a", "/proc", "/sys").out
    put(engine, id_, tar({"proc/": b"", "sys/": b""}), "/")  # as the archive of a whole root has
    assert engine.exec(id_, "stat", "-c", "%a", "/proc", "/sys").out == before
    with pytest.raises(InvalidArgument, match="proc/x"):
        put(engine, id_, tar({"proc/x": b""}), "/")


def test_modes_owners_times_attributes_and_links_are_kept(engine: RunningEngine) -> None:
    id_ = container(engine, "running")
    attributes = {"SCHILY.xattr.user.note": "x"}
    file = member("d/f", tarfile.REGTYPE, mode=0o6751, uid=12, gid=34, mtime=1_000_000_000)
    file.pax_headers = attributes
    archive = tar(
        {},
        member("d", tarfile.DIRTYPE, mode=0o2775, uid=5, gid=6, mtime=1_100_000_000),
        (file, b"data"),
        member("d/hard", tarfile.LNKTYPE, linkname="d/f"),
        member("d/soft", tarfile.SYMTYPE, linkname="/nowhere", uid=7, gid=8),
        member("d/pipe", tarfile.FIFOTYPE, mode=0o640),
        member("d/null", tarfile.CHRTYPE, mode=0o622, devmajor=1, devminor=3),
    )
    put(engine, id_, archive, "/root")
    for path in ("/root/d", "/root/d/"):
        found = got(engine, id_, path)
        kept = {n: (i.type, i.mode, i.uid, i.gid, i.linkname) for n, i in found.items()}
        first, other = sorted(("d/f", "d/hard"))
        assert kept == {
            "d": (tarfile.DIRTYPE, 0o2775, 5, 6, ""),
            first: (tarfile.REGTYPE, 0o6751, 12, 34, ""),
            other: (tarfile.LNKTYPE, 0o6751, 12, 34, first),
            "d/soft": (tarfile.SYMTYPE, 0o777, 7, 8, "/nowhere"),
            "d/pipe": (tarfile.FIFOTYPE, 0o640, 0, 0, ""),
            "d/null": (tarfile.CHRTYPE, 0o622, 0, 0, ""),
        }
        assert found["d"].mtime == 1_100_000_000 and found["d/f"].mtime == 1_000_000_000
        assert found["d/f"].pax_headers.items() >= attributes.items()


def test_everything_can_be_given_to_the_containers_user(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", *SLEEP, User="bob")
    put(engine, id_, tar({"a": b""}, member("b", tarfile.DIRTYPE, uid=7)), "/tmp", copyUIDGID=1)
    assert engine.exec(id_, "stat", "-c", "%u:%g", "/tmp/a", "/tmp/b").out == b"1000:1000\n" * 2


def test_a_user_namespaces_owners_are_those_inside(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", *SLEEP, User="0", Isolation="sandbox")
    put(engine, id_, tar({}, (member("a", tarfile.REGTYPE, uid=5, gid=6), b"x")), "/tmp")
    assert engine.exec(id_, "stat", "-c", "%u:%g", "/tmp/a").out == b"5:6\n"
    (info,) = got(engine, id_, "/tmp/a").values()
    assert (info.uid, info.gid) == (5, 6)
    assert got(engine, id_, "/bin/busybox")["busybox"].uid == 0
    with pytest.raises(InvalidArgument, match="the id 70000"):
        put(engine, id_, tar({}, member("b", tarfile.DIRTYPE, uid=70_000)), "/tmp")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/etc/passwd", ("passwd", stat.S_IFREG, "")),
        ("etc/passwd", ("passwd", stat.S_IFREG, "")),
        ("/bin/", ("bin", stat.S_IFDIR, "")),
        ("/bin/.", (".", stat.S_IFDIR, "")),
        ("/", ("/", stat.S_IFDIR, "")),
        ("/bin/sh", ("sh", stat.S_IFLNK, "/bin/busybox")),
        ("/root/out", ("out", stat.S_IFLNK, "/etc")),
        ("/root/out/", ("out", stat.S_IFDIR, "")),
        ("/root/gone", ("gone", stat.S_IFLNK, "/root/nowhere/x")),
    ],
)
def test_what_a_path_is(engine: RunningEngine, path: str, told: tuple[str, int, str]) -> None:
    id_ = container(engine, "created")
    put(engine, id_, tar({"out": "../../../etc", "gone": "nowhere/x"}), "/root")
    found = look(engine, id_, path)
    kinds = {stat.S_IFREG: 0, stat.S_IFDIR: 1 << 31, stat.S_IFLNK: 1 << 27}
    name, kind, target = told
    assert (found["name"], found["mode"] & ~0o7777 & ~(1 << 20), found["linkTarget"]) == (
        *(name, kinds[kind], target),
    )
    assert found["mtime"].endswith("Z")


def test_names_in_an_archive_begin_with_the_last_of_the_path(engine: RunningEngine) -> None:
    id_ = container(engine, "created")
    put(engine, id_, tar({"a/": b"", "a/b": b"1", "l": "a"}), "/root")
    assert sorted(got(engine, id_, "/root/a")) == ["a", "a/b"]
    assert sorted(got(engine, id_, "/root/a/.")) == [".", "./b"]
    assert sorted(got(engine, id_, "/root/l")) == ["l"]
    assert sorted(got(engine, id_, "/root/l/")) == ["l", "l/b"]
    assert "/bin/busybox" in tarfile.open(fileobj=io.BytesIO(raw(engine, id_, "/"))).getnames()


def test_what_is_not_there_and_what_is_no_directory(engine: RunningEngine) -> None:
    id_ = container(engine, "running")
    gone = f"Could not find the file /nope in container {engine.inspect(id_)['Name'][1:]}"
    with pytest.raises(NotFound, match=gone):
        raw(engine, id_, "/nope")
    with pytest.raises(NotFound):
        look(engine, id_, "/nope")
    with pytest.raises(NotFound, match=gone):
        put(engine, id_, tar({}), "/nope")
    with pytest.raises(InvalidArgument, match="extraction point is not a directory"):
        put(engine, id_, tar({}), "/etc/passwd")
    with pytest.raises(InvalidArgument, match="path cannot be empty"):
        raw(engine, id_, "")
    with pytest.raises(NotFound, match="No such container"):
        raw(engine, "nope", "/")


def test_kinds_give_way_only_when_they_may(engine: RunningEngine) -> None:
    id_ = container(engine, "running")
    put(engine, id_, tar({"f": b"", "d/": b"", "d/x": b""}), "/root")
    with pytest.raises(InvalidArgument, match='cannot overwrite directory "/root/d" with non-dir'):
        put(engine, id_, tar({"d": b""}), "/root", noOverwriteDirNonDir=1)
    with pytest.raises(
        InvalidArgument, match=r'cannot overwrite non-directory "/root/f/?" with dir'
    ):
        put(engine, id_, tar({"f/": b""}), "/root", noOverwriteDirNonDir=1)
    put(engine, id_, tar({"d": b"file", "f/": b""}), "/root")
    assert content(engine, id_, "/root/d") == b"file"
    assert sorted(got(engine, id_, "/root/f")) == ["f"]


def test_archives_may_be_compressed(engine: RunningEngine) -> None:
    id_ = container(engine, "running")
    for pack in (images.gzipped, lzma.compress, bz2.compress):
        put(engine, id_, pack(tar({pack.__name__: b"1" * 100_000})), "/root")
        assert content(engine, id_, f"/root/{pack.__name__}") == b"1" * 100_000


def test_absolute_names_are_names_below_the_place(engine: RunningEngine) -> None:
    id_ = container(engine, "running")
    link = member("//linked", tarfile.LNKTYPE, linkname="/etc/x")
    put(engine, id_, tar({"/etc/": b"", "/etc/x": b"1"}, link), "/root")
    assert content(engine, id_, "/root/etc/x") == content(engine, id_, "/root/linked") == b"1"
    with pytest.raises(NotFound):
        look(engine, id_, "/etc/x")


def test_a_place_of_a_mount_is_not_replaced(engine: RunningEngine, tmp_path: Path) -> None:
    id_ = container(engine, "running", Binds=[f"{tmp_path}:/srv/data"])
    for archive, path in (
        (tar({"hosts": b"mine"}), "/etc"),
        (tar({"data": b"file"}), "/srv"),
        (tar({"srv": b"file"}), "/"),
    ):
        with pytest.raises(Conflict, match="busy"):
            put(engine, id_, archive, path)
    mounts = engine.exec(id_, "cat", "/proc/mounts").out
    assert b" /etc/hosts " in mounts and b" /srv/data " in mounts


def test_a_broken_archive_says_so_and_leaves_no_part_of_a_file(engine: RunningEngine) -> None:
    id_ = container(engine, "running")
    whole = tar({"first": b"1", "second": b"2" * 10_000})
    with pytest.raises(InvalidArgument, match="ends"):
        put(engine, id_, whole[:4000], "/root")
    assert sorted(got(engine, id_, "/root")) == ["root", "root/first"]
    with pytest.raises(InvalidArgument, match="not a tar header"):
        put(engine, id_, b"no archive" * 1000, "/root")


def test_a_large_file_goes_both_ways_in_bounded_memory(engine: RunningEngine) -> None:
    id_ = container(engine, "running")
    size = 200 << 20
    head = member("large", tarfile.REGTYPE, mode=0o644)
    head.size = size

    def pieces() -> Iterator[bytes]:
        yield head.tobuf()
        for _ in range(size >> 20):
            yield b"\5" * (1 << 20)
        yield bytes(1024)

    before = engine.resident_kib()
    with engine.client.request("PUT", f"/containers/{id_}/archive?path=/root", pieces()) as reply:
        reply.read()
    total = 0
    with engine.client.request("GET", f"/containers/{id_}/archive?path=/root/large") as reply:
        for chunk in reply.chunks():
            total += len(chunk)
    assert total > size
    assert engine.resident_kib() - before < 40 << 10


def test_who_leaves_in_the_middle_leaves_nothing(engine: RunningEngine) -> None:
    """No descriptor, and no container that is kept from starting."""
    running, stopped = container(engine, "running"), container(engine, "exited")
    put(engine, stopped, tar({"x": bytes(8 << 20)}), "/root")
    engine.wait_for_rooms()
    before = engine.descriptors()
    for id_ in (running, stopped):
        for _ in range(5):
            other = Client(f"unix://{engine.socket}", PREFIX)
            with other.request("GET", f"/containers/{id_}/archive?path=/") as reply:
                next(reply.chunks())
            other.close()
    for id_ in (running, stopped):
        _break_off(engine, id_)
    eventually(engine.descriptors, lambda now: now <= before + 2)
    engine.start_container(stopped)


def _break_off(engine: RunningEngine, id_: str) -> None:
    """Begin an upload and go away in the middle of a file."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(engine.socket)
        head = f"PUT {PREFIX}/containers/{id_}/archive?path=/root HTTP/1.1\r\nHost: x\r\n"
        client.sendall(f"{head}Content-Length: 100000\r\n\r\n".encode())
        client.sendall(tar({"cut": b"1" * 50_000})[:20_000])


def test_a_slow_upload_keeps_nobody_waiting(engine: RunningEngine) -> None:
    """Not other clients, not even many of them at once; the container neither."""
    id_ = container(engine, "running")
    gate = threading.Event()
    head = tar({"x": b"1" * 1000})[:512]

    def pieces() -> Iterator[bytes]:
        yield head
        gate.wait(30)
        yield tar({"x": b"1" * 1000})[512:]

    def upload() -> None:
        other = Client(f"unix://{engine.socket}", PREFIX)
        with other.request("PUT", f"/containers/{id_}/archive?path=/tmp", pieces()) as reply:
            reply.read()
        other.close()

    threads = [threading.Thread(target=upload) for _ in range(12)]
    for thread in threads:
        thread.start()
    try:
        assert engine.exec(id_, "echo", "1").out == b"1\n"
        assert content(engine, id_, "/etc/group")
        assert engine.says("busybox", "echo", "2") == "2\n"
    finally:
        gate.set()
        for thread in threads:
            thread.join(30)


def test_an_upload_that_does_not_come_gives_way(engine: RunningEngine) -> None:
    """Nobody else holds a container that does not run for longer than a few seconds."""
    id_ = container(engine, "created")
    other = Client(f"unix://{engine.socket}", PREFIX)

    def pieces() -> Iterator[bytes]:
        yield tar({"x": b"1" * 1000})[:700]
        other.call("POST", f"/containers/{id_}/start")
        yield b""

    with pytest.raises(Conflict, match="the archive did not come"):
        with engine.client.request("PUT", f"/containers/{id_}/archive?path=/", pieces()) as reply:
            reply.read()
    other.close()
    assert engine.inspect(id_)["State"]["Running"]
    with pytest.raises(NotFound):
        look(engine, id_, "/x")


def test_an_upload_ends_with_the_run_that_it_goes_to(engine: RunningEngine) -> None:
    id_ = container(engine, "running")

    def pieces() -> Iterator[bytes]:
        yield tar({"x": b"1"})[:1024]
        engine_two = Client(f"unix://{engine.socket}", PREFIX)
        engine_two.call("POST", f"/containers/{id_}/kill")
        engine_two.call("POST", f"/containers/{id_}/wait")
        engine_two.close()
        for _ in range(100):
            yield tar({"y": b"1"})[:1024]

    with pytest.raises(Conflict, match="is not running"):
        with engine.client.request("PUT", f"/containers/{id_}/archive?path=/", pieces()) as reply:
            reply.read()


def test_events_tell(engine: RunningEngine) -> None:
    began = f"{time.time():.9f}"
    id_ = container(engine, "running")
    put(engine, id_, tar({"x": b""}), "/tmp")
    raw(engine, id_, "/tmp/x")
    query = f"/events?since={began}&until={time.time():.9f}"
    with engine.client.request("GET", query) as reply:
        told = [line for line in reply.lines() if id_.encode() in line]
    assert any(b"extract-to-dir" in line for line in told)
    assert any(b"archive-path" in line for line in told)
