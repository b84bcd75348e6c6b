"""Copying in and out of containers that set traps or change under the engine's hands."""

from __future__ import annotations

import contextlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.errors import Error, NotFound
from casemate.http.client import Client
from escape.conftest import Load
from support.engine import PREFIX, RunningEngine
from support.files import content, got, look, put, raw
from support.hostile import Sentinel
from support.images import gzipped, member, program, tar
from support.streams import Streams, start_exec

pytestmark = pytest.mark.root

ROUNDS = 150
#: Ways to name a directory of the host from a directory in the container's root.
LINKS = ("{}", "../../../../../../../..{}")
REG, LNK, SYM, DIR = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE


@contextlib.contextmanager
def swapping(engine: RunningEngine, id_: str, one: str, other: str) -> Iterator[None]:
    """Have the container exchange two names all the time."""
    own = Client(f"unix://{engine.socket}", PREFIX)
    racer: Streams = start_exec(own, engine.create_exec(id_, "intruder", "swap", one, other))
    racer.until(b"swapping\n")
    try:
        yield
    finally:
        engine.exec(id_, "touch", "/stop")
        racer.rest()
        own.close()


def racing(engine: RunningEngine, load: Load, script: str, **host: object) -> str:
    """Return a container that runs and in which ``script`` has been run."""
    id_ = engine.run_container(load(), "sleep", "1000", **host)
    said = engine.exec(id_, "sh", "-c", script)
    assert said.code == 0, said
    return id_


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("volume", [False, True])
def test_cve_2018_15664_2026_42306_a_directory_exchanged_for_a_link_while_it_is_copied(
    engine: RunningEngine,
    load: Load,
    sentinel: Sentinel,
    tmp_path: Path,
    link: str,
    volume: bool,
) -> None:
    """What is copied is the container's own file or nothing, on the way in and on the way out."""
    place = "/vol" if volume else "/race"
    shared = tmp_path / "shared"
    shared.mkdir()
    host = {"Binds": [f"{shared}:/vol"]} if volume else {}
    target = link.format(sentinel.path)
    script = f"mkdir -p {place}/real; echo own > {place}/real/kept; ln -s {target} {place}/link"
    id_ = racing(engine, load, script, **host)
    upload = tar({"kept": b"overwritten", "deep": b"a file", "planted": b"planted"})
    read, written = set(), 0
    with swapping(engine, id_, f"{place}/real", f"{place}/link"):
        for _ in range(ROUNDS):
            with contextlib.suppress(Error):
                read.add(content(engine, id_, f"{place}/real/kept"))
            with contextlib.suppress(Error):
                names = got(engine, id_, f"{place}/real/.")
                assert "./deep" not in names or names["./deep"].isreg()
            with contextlib.suppress(Error):
                put(engine, id_, upload, f"{place}/real")
                written += 1
            with contextlib.suppress(Error):
                look(engine, id_, f"{place}/real/kept")
    assert b"kept\n" not in read
    assert written


def test_a_parent_exchanged_in_the_middle_of_an_archive(
    engine: RunningEngine, load: Load, sentinel: Sentinel
) -> None:
    """The directory that one entry makes is a link when the next is made in it."""
    script = f"mkdir -p /race/d; ln -s {sentinel.path} /race/link"
    id_ = racing(engine, load, script)
    parts = [member(f"d/sub{n}/", DIR, mode=0o777) for n in range(20)]
    links = [member(f"d/hard{n}", LNK, linkname="d/kept") for n in range(20)]
    devices = [member(f"d/null{n}", tarfile.CHRTYPE, devmajor=1, devminor=3) for n in range(20)]
    files = {f"d/{n}": b"x" for n in range(20)}
    upload = tar(files, (member("d/kept", REG, mode=0o777, uid=99), b"x"), *links, *parts, *devices)
    with swapping(engine, id_, "/race/d", "/race/link"):
        for _ in range(ROUNDS // 3):
            with contextlib.suppress(Error):
                put(engine, id_, upload, "/race")


def test_an_inode_exchanged_between_its_making_and_its_description(
    engine: RunningEngine, load: Load, sentinel: Sentinel
) -> None:
    """CVE-2021-41089: owner and mode go to what was made, not to what has its name by then."""
    script = f"mkdir /race; ln -s {sentinel.file} /race/link; mkfifo /race/made"
    id_ = racing(engine, load, script)
    upload = tar(
        {},
        *(
            entry
            for _ in range(30)
            for entry in (
                member("made", tarfile.FIFOTYPE, mode=0o7777, uid=99, gid=99),
                member("made", SYM, linkname="x", uid=99, gid=99),
                member("made", REG, mode=0o7777, uid=99, gid=99),
                member("made", DIR, mode=0o7777, uid=99, gid=99),
            )
        ),
    )
    with swapping(engine, id_, "/race/made", "/race/link"):
        for _ in range(ROUNDS // 3):
            with contextlib.suppress(Error):
                put(engine, id_, upload, "/race")


TRAPS: dict[str, tuple[tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], ...]] = {
    "up": ((member("../../../{}/planted", REG), b"x"),),
    "up inside": ((member("a/../../../../{}/planted", REG), b"x"),),
    "absolute": ((member("{}/planted", REG), b"x"),),
    "through a link": (member("l", SYM, linkname="{}"), (member("l/planted", REG), b"x")),
    "through a relative link": (
        member("l", SYM, linkname="../../../../..{}"),
        (member("l/planted", REG), b"x"),
    ),
    "through a chain of links": (
        member("a", SYM, linkname="{}"),
        member("b", SYM, linkname="a/deep"),
        (member("b/planted", REG), b"x"),
    ),
    "a hard link to a file outside": (
        member("h", LNK, linkname="{}/kept"),
        (member("h", REG), b"over"),
    ),
    "a hard link above": (member("h", LNK, linkname="../../..{}/kept"),),
    "a hard link through a link": (
        member("l", SYM, linkname="{}"),
        member("h", LNK, linkname="l/kept"),
        member("h", REG, mode=0o7777),
    ),
    "a hard link to a link": (
        member("l", SYM, linkname="{}/kept"),
        member("h", LNK, linkname="l"),
        (member("h", REG), b"over"),
    ),
    "a directory that is a link": (
        member("l", SYM, linkname="{}"),
        member("l", DIR, mode=0o7777, uid=99),
    ),
    "the target itself": (member(".", SYM, linkname="{}"), (member("planted", REG), b"x")),
    "a whiteout above": ((member("../.wh.kept", REG), b""),),
}


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("running", [True, False])
def test_cve_2014_6407_9356_2026_17106_2021_32760_traps_of_archives(
    engine: RunningEngine, load: Load, sentinel: Sentinel, trap: str, running: bool
) -> None:
    """Every entry is made inside, or is refused; the host's files are as they were."""
    id_ = engine.create("busybox", "sleep", "1000")
    if running:
        engine.start_container(id_)
    place = sentinel.path.lstrip("/")
    entries = []
    for entry in TRAPS[trap]:
        info, data = entry if isinstance(entry, tuple) else (entry, b"")
        name = info.name.format(sentinel.path if info.name.startswith("{") else place)
        made = member(name, info.type, mode=info.mode, uid=info.uid)
        made.linkname = info.linkname.format(sentinel.path)
        entries.append((made, data))
    with contextlib.suppress(Error):
        put(engine, id_, tar({}, *entries), "/tmp")


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("running", [True, False])
def test_ghsa_vp62_cve_2019_10152_links_lead_to_the_containers_own_files(
    engine: RunningEngine, load: Load, sentinel: Sentinel, link: str, running: bool
) -> None:
    target = link.format(sentinel.path)
    image = load(tar({"out": target, "srv/": b"", "srv/file": f"{target}/kept"}))
    id_ = engine.create(image, "sleep", "1000")
    if running:
        engine.start_container(id_)
    for path in ("/out/", "/out/kept", "/out/."):
        with pytest.raises(Error):
            raw(engine, id_, path)
        with pytest.raises(Error):
            put(engine, id_, tar({"planted": b"x"}), path)
    assert got(engine, id_, "/out")["out"].issym()
    assert [i.linkname for i in got(engine, id_, "/srv").values() if i.issym()] == [
        f"{target}/kept"
    ]
    assert look(engine, id_, "/out")["linkTarget"] == sentinel.path
    put(engine, id_, tar({"file": b"mine"}), "/srv")  # replaces the link, follows it nowhere
    assert content(engine, id_, "/srv/file") == b"mine"


def test_a_place_for_a_mount_that_is_a_link_is_made_inside(
    engine: RunningEngine, load: Load, sentinel: Sentinel, tmp_path: Path
) -> None:
    """CVE-2019-16884 and its like: mounts of a container that does not run are made in-root."""
    image = load(tar({"out": sentinel.path, "etc": sentinel.path}))
    id_ = engine.create(image, "true", Binds=[f"{tmp_path}:/out/deep/new"])
    with contextlib.suppress(Error):
        raw(engine, id_, "/out/deep/new")
    with contextlib.suppress(Error):
        put(engine, id_, tar({"planted": b"x"}), "/out")


def test_cve_2019_14271_2026_41567_nothing_of_the_image_is_loaded_or_run(
    engine: RunningEngine, load: Load
) -> None:
    names = ("xz", "unpigz", "gzip", "zstd", "tar", "ps", "bzip2")
    fakes = [program(f"bin/{n}", f"#!/bin/sh\necho {n} >> /marker\n") for n in names]
    library = {"lib/libnss_files.so.2": b"\x7fELF", "etc/nsswitch.conf": b"passwd: files evil\n"}
    image = load(tar(library, *fakes), Env=["PATH=/bin", "LD_PRELOAD=/lib/libnss_files.so.2"])
    id_ = engine.run_container(image, "sleep", "1000", Init=True)
    put(engine, id_, gzipped(tar({"x": b"1"})), "/tmp", copyUIDGID=1)
    for magic in (b"\xfd7zXZ\0", b"BZh9"):
        with contextlib.suppress(Error):
            put(engine, id_, magic + bytes(2000), "/tmp")
    raw(engine, id_, "/bin")
    engine.client.get(f"/containers/{id_}/top")
    with pytest.raises(NotFound):
        look(engine, id_, "/marker")


def test_fifos_and_devices_are_told_and_not_opened(engine: RunningEngine, load: Load) -> None:
    """CVE-2024-9676: nobody waits for the other end of a fifo."""
    id_ = racing(engine, load, "mkfifo /tmp/fifo")
    put(engine, id_, tar({}, member("null", tarfile.CHRTYPE, devmajor=1, devminor=3)), "/tmp")
    found = got(engine, id_, "/tmp")
    assert found["tmp/fifo"].isfifo() and found["tmp/null"].ischr()
    assert got(engine, id_, "/tmp/fifo")["fifo"].isfifo()
    put(engine, id_, tar({"fifo": b"a file"}), "/tmp")
    assert content(engine, id_, "/tmp/fifo") == b"a file"
    with pytest.raises(Error, match="not a directory"):
        put(engine, id_, tar({}), "/tmp/null")


def test_a_root_that_the_first_process_has_left_is_still_the_root(
    engine: RunningEngine, load: Load
) -> None:
    id_ = engine.run_container(
        load(),
        "sh",
        "-c",
        "mkdir -p /jail/bin /jail/etc; cp /bin/busybox /jail/bin/;"
        " echo fake > /jail/etc/passwd; exec chroot /jail /bin/busybox sleep 1000",
    )
    assert b"root:x:0:0" in content(engine, id_, "/etc/passwd")


def test_a_bomb_is_refused(engine: RunningEngine, load: Load) -> None:
    """A long pax header, many records, an endless name: bounded, and nothing is left behind."""
    id_ = engine.run_container("busybox", "sleep", "1000")
    long = member("x", REG)
    long.pax_headers = {"comment": "x" * (2 << 20)}
    many = member("x", REG)
    many.pax_headers = {f"k{n}": "v" for n in range(5000)}
    deep = member("/".join(["d"] * 3000), REG)
    before = engine.resident_kib()
    for entry in (long, many, deep):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(entry)
        with pytest.raises(Error):
            put(engine, id_, buffer.getvalue(), "/root")
    assert engine.resident_kib() - before < 20 << 10
