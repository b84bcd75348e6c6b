"""Archives and requests that an attacker wrote: refused by their rule, and nothing is left."""

from __future__ import annotations

import json
import os
import random
import socket
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from casemate.errors import DataLoss, Error, InvalidArgument, NotFound, Unsupported
from casemate.http.client import Client
from support.engine import PREFIX, ProgressError, RunningEngine, busybox_tar
from support.images import (
    OCI_INDEX,
    Blob,
    config,
    docker_archive,
    gzipped,
    member,
    oci_layout,
    oci_manifest,
    tar,
)
from support.roots import exported

pytestmark = pytest.mark.root

PLAIN = tar({"bin/": "", "said": b"hello"})


def _with_manifest(document: Any) -> bytes:
    return tar({"manifest.json": json.dumps(document).encode(), "l": PLAIN})


def _docker(**replaced: Any) -> bytes:
    files: dict[str, Any] = {**docker_archive({"l": PLAIN}), **replaced}
    return tar({name: data for name, data in files.items() if data is not None})


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "neither manifest.json nor index.json"),
    "zeros": (lambda: bytes(1 << 20), "neither manifest.json nor index.json"),
    "noise": (lambda: random.Random(1).randbytes(100_000), ""),
    "a root": (busybox_tar, "casemate import|neither manifest"),
    "cut off": (lambda: _docker()[: len(PLAIN) // 2], "ends|cut|truncated"),
    "cut off gzip": (lambda: gzipped(_docker())[:-20], "ends|cut|truncated|gzip"),
    "a damaged gzip": (lambda: gzipped(_docker())[:-8] + bytes(8), ""),
    "no config": (lambda: _docker(**{"config.json": None}), "no document"),
    "a config that is a list": (lambda: _docker(**{"config.json": b"[]"}), "invalid image config"),
    "a config with another layer": (
        lambda: _docker(**{"config.json": config([tar({"x": b""})])}),
        "DiffID",
    ),
    "a config with more layers": (
        lambda: _docker(**{"config.json": config([PLAIN] * 2)}),
        "layers",
    ),
    "a manifest that is a number": (lambda: _with_manifest(5), "invalid manifest.json"),
    "a manifest without layers": (lambda: _with_manifest([{"Config": "l"}]), "invalid manifest"),
    "a manifest of nulls": (lambda: _with_manifest([None]), "invalid manifest"),
    "a layer outside": (
        lambda: _with_manifest([{"Config": "../../etc/passwd", "Layers": ["/etc/passwd"]}]),
        "there is no",
    ),
    "too many images": (
        lambda: _with_manifest([{"Config": "c", "Layers": []}] * 1001),
        "more than 1000 images",
    ),
    "links in a circle": (
        lambda: tar({"manifest.json": "a", "a": "b", "b": "a"}),
        "neither|chain of links",
    ),
    "a layer that is a device": (
        lambda: tar(
            {k: v for k, v in docker_archive({"l": PLAIN}).items() if k != "l"},
            member("l", tarfile.CHRTYPE, devmajor=1, devminor=5),
        ),
        "there is no layer",
    ),
    "a name that is none": (
        lambda: tar(docker_archive({"l": PLAIN}, "UPPER/../x:1")),
        "invalid reference",
    ),
    "a depth of a hundred thousand": (
        lambda: _docker(**{"manifest.json": b"[" * 100_000}),
        "invalid manifest.json",
    ),
    "an index of itself": (
        lambda: tar(oci_layout([Blob(OCI_INDEX, b"{}").descriptor()], Blob(OCI_INDEX, b"{}"))),
        "",
    ),
    "a blob with another digest": (
        lambda: tar(
            oci_layout(
                [{**oci_manifest(config([])).descriptor(), "digest": "sha256:" + "0" * 64}],
                Blob("", b""),
            )
        ),
        "",
    ),
    "a digest with a path": (
        lambda: tar(
            oci_layout([{**oci_manifest(config([])).descriptor(), "digest": "sha256:../../x"}])
        ),
        "digest",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_archive_that_is_none_is_refused_and_leaves_nothing(
    clean: RunningEngine, kind: str
) -> None:
    """Escape table B.6: an error, the engine alive, the stores byte for byte as before."""
    make, match = HOSTILE[kind]
    with pytest.raises((Error, ProgressError), match=match or None):
        clean.load(make())
    assert clean.client.get("/version")["Version"]


HOSTILE_LAYERS: dict[str, tarfile.TarInfo] = {
    "a name above the root": member("../../escaped", tarfile.REGTYPE),
    "a whiteout of nothing": member(".wh.", tarfile.REGTYPE),
    "a whiteout of the root": member(".wh...", tarfile.REGTYPE),
    "a link to outside": member("x", tarfile.LNKTYPE, linkname="../../etc/passwd"),
    "a link to nothing": member("x", tarfile.LNKTYPE, linkname="nope"),
    "a name with a NUL": member("a\0b", tarfile.REGTYPE),
    "a name that is too long": member("n" * 300, tarfile.REGTYPE),
    "a path that is too long": member("/".join(["d" * 200] * 30), tarfile.REGTYPE),
    "a device of the host": member("x", tarfile.BLKTYPE, devmajor=254, devminor=0),
}


@pytest.mark.parametrize("kind", HOSTILE_LAYERS)
def test_an_entry_lands_inside_or_is_refused(
    clean: RunningEngine, tmp_path: Path, kind: str
) -> None:
    """Escape table B.6, CVE-2014-6407 and later: nothing of the host is created or changed."""
    sentinel = tmp_path / "escaped"
    sentinel.write_text("untouched")
    before = os.stat("/etc/passwd")
    try:
        clean.import_image(tar({"bin/": ""}, HOSTILE_LAYERS[kind]), "hostile:1", 'CMD ["x"]')
    except (Error, ProgressError, AssertionError):
        pass
    else:
        exported(clean, clean.create("hostile:1"))
    assert sentinel.read_text() == "untouched"
    assert os.stat("/etc/passwd") == before
    assert not os.path.exists("/escaped")


@pytest.mark.parametrize("packer", ["gzip", "zstd"])
def test_a_bomb_costs_neither_memory_nor_disk(clean: RunningEngine, packer: str) -> None:
    """Escape table B.6, decompression bombs: a limit, an error, nothing left."""
    before = clean.resident_kib()
    with pytest.raises((Error, ProgressError), match="takes the files past"):
        clean.progress("/images/create?fromSrc=-&repo=bomb", _bomb(packer))
    assert clean.resident_kib() - before < 100_000
    with pytest.raises(NotFound):
        clean.image("bomb")


def _bomb(packer: str) -> Iterator[bytes]:
    """Yield what expands to terabytes, as long as it is wanted."""
    compress = (
        zlib.compressobj(9, wbits=31).compress
        if packer == "gzip"
        else zstandard.ZstdCompressor(level=1).compressobj().compress
    )
    yield compress(member("big", tarfile.REGTYPE, size=1 << 43).tobuf(tarfile.GNU_FORMAT))
    while True:
        yield compress(random.Random(1).randbytes(1 << 16) + bytes(1 << 22))


def test_a_ten_thousands_of_entries_cost_bounded_memory(clean: RunningEngine) -> None:
    before = clean.resident_kib()
    entries = (member(f"d/{n:06}", tarfile.REGTYPE).tobuf() for n in range(30_000))
    clean.progress("/images/create?fromSrc=-&repo=many", _packed(entries))
    assert clean.resident_kib() - before < 100_000


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.compress(bytes(1024)) + packer.flush()


@pytest.mark.parametrize("half", [True, False])
def test_a_client_that_leaves_in_the_middle_of_its_archive(
    clean: RunningEngine, half: bool
) -> None:
    whole = _docker()
    for cut in (1, 600, len(whole) // 2):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(clean.socket)
            head = f"POST {PREFIX}/images/load HTTP/1.1\r\nHost: x\r\nContent-Length: {len(whole)}"
            sock.sendall(f"{head}\r\n\r\n".encode() + whole[:cut])
            if half:
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass


def test_loads_and_removals_at_the_same_time(clean: RunningEngine) -> None:
    """A collection takes nothing away that somebody is just bringing."""
    failed: list[BaseException] = []

    def work(number: int) -> None:
        client = Client(f"unix://{clean.socket}", PREFIX)
        name = f"busy{number}"
        archive = tar(docker_archive({"a": PLAIN, "b": tar({name: b"x"})}, f"{name}:1"))
        try:
            for _ in range(8):
                with client.request("POST", "/images/load", archive) as reply:
                    assert b"error" not in reply.read()
                id_ = client.post("/containers/create", {"Image": f"{name}:1"})["Id"]
                client.call("DELETE", f"/containers/{id_}")
                client.call("DELETE", f"/images/{name}:1")
        except BaseException as error:
            failed.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("/images/create", "neither fromImage nor fromSrc"),
        ("/images/create?fromSrc=http://example.com/x", "not supported"),
        ("/images/create?fromSrc=-&repo=UPPER", "lowercase"),
        ("/images/create?fromSrc=-&repo=x&platform=a/b/c/d", "invalid platform"),
        ("/images/create?fromSrc=-&repo=x&platform=%7B", "invalid platform"),
        ("/images/busybox/tag?repo=", "invalid reference"),
        ("/images/busybox/tag?repo=x@sha256:" + "0" * 64, "digest"),
        ("/images/nope/tag?repo=x", "No such image"),
        ("/commit?container=nope", "No such container"),
    ],
)
def test_requests_that_are_wrong(clean: RunningEngine, path: str, match: str) -> None:
    with pytest.raises((InvalidArgument, NotFound, Unsupported), match=match):
        clean.progress(path, b"")


def test_a_damaged_store_is_told_and_mended(own_engine: RunningEngine) -> None:
    own_engine.load(tar(docker_archive({"a": PLAIN}, "test:1")))
    path = next(p for p, (size, _) in own_engine.stored().items() if size == len(PLAIN))
    with open(own_engine.root + path, "r+b") as file:
        file.seek(600)
        file.write(b"XXX")
    problems = [json.loads(line) for line in own_engine.fsck()]
    assert [p["Kind"] for p in problems] == ["layer"]
    with pytest.raises((DataLoss, Error, AssertionError)):
        own_engine.load(own_engine.save("test:1"))
    own_engine.fsck(repair=True)
    own_engine.fsck(repair=True)
    assert not own_engine.fsck()
    own_engine.load(tar(docker_archive({"a": PLAIN}, "test:1")))
    assert not own_engine.fsck()
