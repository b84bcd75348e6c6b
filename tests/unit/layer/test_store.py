"""The layer store: a layer is there as a whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import stat
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zstandard

from casemate.errors import DataLoss, InvalidArgument, NotFound, Unavailable, Unsupported
from casemate.layer import index
from casemate.layer.limits import DEFAULT
from casemate.layer.store import LayerStore
from casemate.oci import digest as digests
from casemate.oci.digest import Digest
from unit.layer.archives import END, directory, file, hard_link, pax, symlink

ARCHIVE = b"".join(
    (
        directory(b"./", mode=b"0001755\0"),
        directory(b"d"),
        file(b"d/f", b"data" * 1000),
        symlink(b"s", b"d/f"),
        hard_link(b"h", b"d/f"),
        pax([(b"GNU.sparse.map", b"0,512,8192,3"), (b"GNU.sparse.size", b"100000")])
        + file(b"sparse", b"x" * 512 + b"end"),
        END,
        b"junk after the end",
    )
)


@pytest.fixture
def store(tmp_path: Path) -> LayerStore:
    return LayerStore(str(tmp_path))


def left(store: LayerStore) -> list[str]:
    """Return every file and directory of the store, but those that are always there."""
    found = []
    for path, directories, files in os.walk(store._top):
        found += [os.path.relpath(f"{path}/{name}", store._top) for name in directories + files]
    return sorted(set(found) - {"ingest", "sha256", "sha512"})


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_a_layer_is_named_by_the_digest_of_its_uncompressed_bytes(
    store: LayerStore, pack: type
) -> None:
    packed = pack(ARCHIVE)
    layer = store.ingest([packed[:100], b"", packed[100:]], what="layer x")
    assert layer.diff_id == digests.of(ARCHIVE)
    assert layer.size_bytes == len(ARCHIVE)
    assert layer.record.root is not None
    assert layer.record.root.mode == 0o1755
    assert store.get(layer.diff_id) == layer
    assert list(store.walk()) == [layer.diff_id]
    with store.open_tar(layer.diff_id) as tar:
        assert tar.read() == ARCHIVE
        assert tar.read() == b""
    with store.open_tar(layer.diff_id) as tar:
        assert b"".join(tar.chunks()) == ARCHIVE
    assert os.stat(layer.devices[0]).st_size % 512 == 0
    store.verify(layer.diff_id)
    assert 0 < store.usage(layer.diff_id) < 100_000


def test_files_of_a_layer_are_for_its_owner_only(store: LayerStore) -> None:
    layer = store.ingest([ARCHIVE], what="layer x")
    assert stat.S_IMODE(os.stat(store._top).st_mode) == 0o700
    assert sorted(os.listdir(layer.path)) == ["index.erofs", "layer.json", "side", "tar"]
    for name in os.listdir(layer.path):
        assert stat.S_IMODE(os.stat(f"{layer.path}/{name}").st_mode) == 0o600


def test_an_empty_layer_is_a_layer(store: LayerStore) -> None:
    for data in (b"", END):
        layer = store.ingest([data], what="layer x")
        assert layer.record.inodes == 1
        assert layer.record.root is None
        store.verify(layer.diff_id)


def test_sha512_names_a_layer_where_it_is_asked_for(store: LayerStore) -> None:
    expected = digests.parse("sha512:" + hashlib.sha512(ARCHIVE).hexdigest())
    assert store.ingest([ARCHIVE], what="x", expected=expected).diff_id == expected
    store.verify(expected)
    assert list(store.walk()) == [expected]


def test_the_index_is_a_function_of_the_archive(store: LayerStore, tmp_path: Path) -> None:
    other = LayerStore(str(tmp_path / "other"))
    first = store.ingest([ARCHIVE], what="x")
    second = other.ingest([gzip.compress(ARCHIVE)], what="y")
    for path, twin in (
        (first.index, second.index),
        *zip(first.devices, second.devices, strict=True),
    ):
        assert Path(path).read_bytes() == Path(twin).read_bytes()


def test_a_layer_that_is_there_is_not_read_again(store: LayerStore) -> None:
    layer = store.ingest([ARCHIVE], what="x")

    def forbidden() -> Iterator[bytes]:
        raise AssertionError("read")
        yield b""

    assert store.ingest(forbidden(), what="x", expected=layer.diff_id) == layer
    assert store.ingest([ARCHIVE], what="x") == layer


# Failures leave nothing.


@pytest.mark.parametrize(
    ("chunks", "expected", "error", "rule"),
    [
        ([ARCHIVE], digests.of(b""), DataLoss, "its digest is sha256:.*was expected"),
        ([ARCHIVE[:1000]], None, DataLoss, "the archive ends inside a header"),
        ([gzip.compress(ARCHIVE)[:-5]], None, DataLoss, "gzip data ends too early"),
        ([b"<html>" * 200], None, InvalidArgument, "not a tar header"),
        ([file(b"../x"), END], None, InvalidArgument, "goes up"),
        ([file(b"/x"), END], None, InvalidArgument, "is absolute"),
        ([hard_link(b"x", b"y"), END], None, InvalidArgument, "does not hold before it"),
    ],
)
def test_a_refused_layer_leaves_nothing(
    store: LayerStore,
    chunks: list[bytes],
    expected: Digest | None,
    error: type[Exception],
    rule: str,
) -> None:
    threads = threading.active_count()
    opened = os.listdir("/proc/self/fd")
    with pytest.raises(error, match=rule):
        store.ingest(chunks, what="layer x", expected=expected)
    assert left(store) == []
    assert threading.active_count() == threads
    assert os.listdir("/proc/self/fd") == opened


def test_an_error_of_the_source_comes_through_and_leaves_nothing(store: LayerStore) -> None:
    def failing() -> Iterator[bytes]:
        yield ARCHIVE[:3000]
        raise Unavailable("the registry went away")

    with pytest.raises(Unavailable, match="went away"):
        store.ingest(failing(), what="layer x")
    assert left(store) == []


def test_an_oserror_of_the_source_is_not_taken_for_one_of_the_store(store: LayerStore) -> None:
    def failing() -> Iterator[bytes]:
        yield ARCHIVE[:3000]
        raise OSError(errno.ECONNREFUSED, "Connection refused")

    with pytest.raises(Unavailable, match="cannot read layer x: connection refused"):
        store.ingest(failing(), what="layer x")
    assert left(store) == []


def test_a_refusal_stops_the_source_early(store: LayerStore) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield file(b"../x")
        while True:
            taken += 1
            yield bytes(1 << 16)

    with pytest.raises(InvalidArgument, match="goes up"):
        store.ingest(endless(), what="layer x")
    assert taken < 1000


def test_limits_hold_while_the_layer_arrives(store: LayerStore) -> None:
    bomb = gzip.compress(file(b"zeros", bytes(50_000_000)))
    limits = DEFAULT._replace(archive_bytes=1_000_000)
    with pytest.raises(InvalidArgument, match="more than 1000000 bytes when decompressed"):
        store.ingest([bomb], what="layer x", limits=limits)
    records = [(b"GNU.sparse.map", b"0,0"), (b"GNU.sparse.size", b"%d" % (1 << 39))]
    huge = [pax(records) + file(b"s%d" % at) for at in range(5)]
    with pytest.raises(InvalidArgument, match="sparse files of"):
        store.ingest([*huge, END], what="x", limits=DEFAULT._replace(expanded_bytes=1 << 50))
    assert left(store) == []


def test_a_full_disk_is_an_error_and_leaves_nothing(
    store: LayerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("casemate.layer.ingest.os.write", full)
    with pytest.raises(Unavailable, match="cannot store layer x: no space left"):
        store.ingest([ARCHIVE], what="layer x")
    assert left(store) == []


def test_memory_does_not_grow_with_the_layer(store: LayerStore) -> None:
    def large() -> Iterator[bytes]:
        piece = bytes(1 << 20)
        yield from (file(b"head"), file(b"zeros", b"")[:0])
        head = file(b"large", b"x")[:512]
        size = 300 << 20
        head = head[:124] + b"%011o\0" % size + head[136:]
        head = head[:148] + b" " * 8 + head[156:]
        yield head[:148] + b"%06o\0 " % sum(head) + head[156:]
        for _ in range(size >> 20):
            yield bytes(piece)
        yield END

    tracemalloc.start()
    try:
        layer = store.ingest(large(), what="layer x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert layer.size_bytes > 300 << 20
    assert peak < 40 << 20
    store.delete(layer.diff_id)


def test_many_threads_may_bring_the_same_layer(store: LayerStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: store.ingest([ARCHIVE], what="x"), range(24)))
    assert len(set(found)) == 1
    assert os.listdir(f"{store._top}/ingest") == []
    store.verify(found[0].diff_id)


# Crashes.


_HALF = """
import signal, sys
from casemate.layer.store import LayerStore

def half():
    yield sys.stdin.buffer.read()
    print("half", flush=True)
    signal.pause()

LayerStore(sys.argv[1]).ingest(half(), what="layer x")
"""


def test_a_killed_ingest_is_cleaned_and_a_living_one_is_not(
    store: LayerStore, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _HALF, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        try:
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write(ARCHIVE[:3000])
            worker.stdin.close()
            assert worker.stdout.readline() == b"half\n"
            assert store.clean() == 0
            assert len(os.listdir(f"{store._top}/ingest")) == 1
        finally:
            worker.kill()
    assert list(store.walk()) == []
    assert store.clean() == 1
    assert left(store) == []


def test_cleaning_while_others_work_takes_nothing_from_them(store: LayerStore) -> None:
    stop = threading.Event()

    def clean() -> None:
        while not stop.is_set():
            store.clean()

    with ThreadPoolExecutor(3) as pool:
        cleaner = pool.submit(clean)
        try:
            archives = [file(b"f%d" % at, b"x" * at) + END for at in range(100)]
            list(pool.map(lambda data: store.ingest([data], what="x"), archives))
        finally:
            stop.set()
        cleaner.result()
    assert len(list(store.walk())) == 100


# What is stored.


def test_what_is_not_stored_is_not_found(store: LayerStore) -> None:
    absent = digests.of(b"absent")
    for call in (store.get, store.open_tar, store.verify, store.usage, store.delete):
        with pytest.raises(NotFound, match=f"no such layer: {absent}"):
            call(absent)
    assert not store.has(absent)


def test_what_is_no_layer_does_not_hide_the_layers(store: LayerStore) -> None:
    layer = store.ingest([ARCHIVE], what="x")
    os.mkdir(f"{store._top}/sha256/lost+found")
    assert list(store.walk()) == [layer.diff_id]
    assert list(store.strays()) == [f"{store._top}/sha256/lost+found"]


def test_a_digest_is_never_taken_for_a_path(store: LayerStore) -> None:
    for name in ("sha256:../../etc", "../x", "sha256:" + "0" * 63 + "/"):
        with pytest.raises(InvalidArgument):
            store.get(Digest(name))


def test_a_deleted_layer_is_gone_but_stays_for_who_has_it_open(store: LayerStore) -> None:
    layer = store.ingest([ARCHIVE], what="x")
    with store.open_tar(layer.diff_id) as tar:
        store.delete(layer.diff_id)
        assert not store.has(layer.diff_id)
        assert left(store) == []
        assert tar.read() == ARCHIVE
    assert store.ingest([ARCHIVE], what="x") == layer


@pytest.mark.parametrize("name", ["tar", "index.erofs", "side", "layer.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damage_is_found_and_named(store: LayerStore, name: str, damage: str) -> None:
    layer = store.ingest([ARCHIVE], what="x")
    path = Path(layer.path, name)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        # A byte that matters, whatever the file is.
        data[{"tar": 1600, "index.erofs": 1100, "side": 3, "layer.json": 1}[name]] ^= 1
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[:-1])
    else:
        path.unlink()
    with pytest.raises((DataLoss, NotFound), match=f"layer {layer.diff_id}"):
        store.verify(layer.diff_id)
    assert os.listdir(f"{store._top}/ingest") == []


def test_a_record_of_another_layer_or_version_is_refused(store: LayerStore) -> None:
    layer = store.ingest([ARCHIVE], what="x")
    path = Path(layer.path, "layer.json")
    record = path.read_text()
    path.write_text(record.replace(f'"version":{index.VERSION}', '"version":99'))
    with pytest.raises(Unsupported, match="index of version 99"):
        store.get(layer.diff_id)
    path.write_text(record.replace(layer.diff_id, digests.of(b"other")))
    with pytest.raises(DataLoss, match="is that of"):
        store.get(layer.diff_id)


def test_an_open_tar_can_be_read_in_any_way(store: LayerStore) -> None:
    layer = store.ingest([ARCHIVE], what="x")
    with io.BufferedReader(store.open_tar(layer.diff_id)) as tar:
        assert tar.read(10) == ARCHIVE[:10]
        assert tar.read() == ARCHIVE[10:]
    tar = store.open_tar(layer.diff_id)
    assert os.pread(tar.fileno(), 5, 512) == ARCHIVE[512:517]
    tar.close()
    tar.close()
