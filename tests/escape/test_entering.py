"""Entering a container: descriptors, executables, terminals. Named after the holes of others."""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import tarfile
from pathlib import Path

import pytest

import casemate
from casemate.errors import Error, InvalidArgument
from escape.conftest import Load
from support.commands import Command
from support.engine import RunningEngine, busybox_tar
from support.hostile import Sentinel
from support.images import program, tar
from support.streams import start_exec

pytestmark = pytest.mark.root

#: Programs that engines have looked up and run in the wrong place.
HELPERS = (
    *("gzip", "gunzip", "unpigz", "pigz", "xz", "zstd", "bzip2", "tar", "cp", "ps", "nsenter"),
    *("mount", "umount", "ip", "nft", "iptables", "sysctl", "setpriv", "runc", "python3", "ldd"),
)


def test_cve_2016_9962_a_joining_process_is_not_to_be_seen_into(
    engine: RunningEngine, load: Load
) -> None:
    id_ = engine.run_container(load(), "sleep", "1000")
    spy = start_exec(engine.client, engine.create_exec(id_, "intruder", "scan"))
    spy.until(b"scanning\n")
    for _ in range(100):
        assert engine.exec(id_, "true").code == 0
    engine.exec(id_, "touch", "/stop")
    out, err = spy.rest()
    assert out.count(b"seen\n") > 0
    assert set(out.splitlines()) == {b"seen"}, out
    assert err == b""


def test_cve_2019_5736_the_engines_programs_cannot_be_overwritten(
    engine: RunningEngine, load: Load
) -> None:
    own = Path(casemate.__file__).parent / "libexec"
    programs = [os.path.realpath(sys.executable), *own.glob("casemate-*")]
    before = [hashlib.sha256(Path(path).read_bytes()).digest() for path in programs]
    script = program("bin/itself", "#!/proc/self/exe\n")
    script_of_init = program("bin/init-itself", "#!/proc/1/exe\n")
    image = load(tar({}, script, script_of_init))
    for word in ("itself", "init-itself"):
        id_ = engine.create(image, word)
        try:
            engine.start_container(id_)
        except Error as failure:
            assert word in str(failure)
        else:
            assert engine.wait(id_) != 0
    id_ = engine.run_container(image, "sleep", "1000", Init=True)
    for _ in range(10):
        assert engine.exec(id_, "itself").code != 0
    writing = "for exe in /proc/1/exe /proc/self/exe; do : 2>&1 >> $exe; done"
    said = engine.exec(id_, "sh", "-c", writing, User="0:0")
    assert said.code != 0, said
    assert [hashlib.sha256(Path(path).read_bytes()).digest() for path in programs] == before


def test_cve_2024_21626_no_working_directory_leads_outside(
    engine: RunningEngine, load: Load
) -> None:
    running = engine.run_container("busybox", "sleep", "1000")
    there = ("sh", "-c", "pwd -P; ls /proc/self/cwd/../../../etc/passwd; cat etc/hostname")
    host = Path("/etc/hostname").read_text() if os.path.exists("/etc/hostname") else "?"
    for number in (*range(3, 12), 255):
        where = f"/proc/self/fd/{number}"
        id_ = engine.create("busybox", *there, WorkingDir=where)
        with pytest.raises(Error) as caught:
            engine.start_container(id_)
        assert where in str(caught.value)
        said = engine.exec(running, *there, WorkingDir=where)
        assert said.code != 0 and host not in said.out.decode(), said
    for where in ("/proc/1/root", "/proc/1/cwd", "/proc/self/root"):
        said = engine.exec(running, "cat", "etc/hostname", WorkingDir=where)
        assert said.code != 0 or said.out.decode().strip() == running[:12]


def test_cve_2015_3627_output_goes_to_the_engine_whatever_the_image_holds(
    engine: RunningEngine, load: Load, sentinel: Sentinel
) -> None:
    links = {f"dev/{n}": sentinel.file for n in ("stdin", "stdout", "stderr", "fd", "null", "tty")}
    image = load(tar({"dev/": b"", **links}))
    for more in ({}, {"Tty": True}):
        id_ = engine.run_container(
            image, "sh", "-c", "echo said; echo more > /dev/stdout; echo none > /dev/null", **more
        )
        assert engine.wait(id_) == 0
        with engine.client.request("GET", f"/containers/{id_}/logs?stdout=1") as reply:
            assert re.findall(b"said|more|none", reply.read()) == [b"said", b"more"]


def test_cve_2022_1227_2026_41567_nothing_is_run_from_inside(
    engine: RunningEngine, load: Load
) -> None:
    fakes = [program(f"bin/{n}", f"#!/bin/sh\necho {n} >> /marker\n") for n in HELPERS]
    library = {"lib/libnss_files.so.2": b"\x7fELF", "etc/nsswitch.conf": b"passwd: files evil\n"}
    image = load(tar(library, *fakes), Env=["PATH=/bin", "LD_PRELOAD=/lib/libnss_files.so.2"])
    id_ = engine.run_container(image, "sleep", "1000", Init=True)
    assert engine.exec(id_, "true", User="bob").code == 0
    engine.client.post(f"/commit?container={id_}&repo=marked")
    engine.save("marked")
    engine.inspect(id_)
    with engine.client.request("GET", f"/containers/{id_}/export") as reply:
        exported = reply.read()
    engine.client.call("DELETE", "/images/marked")
    names = tarfile.open(fileobj=io.BytesIO(exported)).getnames()
    assert "bin/unpigz" in names
    assert "marker" not in names


@pytest.mark.parametrize("user", ["0", "1000"])
def test_cve_2016_7545_nothing_is_typed_into_the_callers_terminal(
    engine: RunningEngine, load: Load, user: str, tmp_path: Path
) -> None:
    image = load()
    command = Command("casemate", engine.socket, str(tmp_path))
    script = "intruder type; intruder call 16 0 0x541C 0; tty; stat -L -c %t /dev/tty"
    with command.at_terminal("run", "--rm", "-it", "-u", user, image, "sh", "-c", script) as it:
        # The call is refused whatever the kernel's own setting; 0x541C is TIOCLINUX.
        assert "refused" in it.until("refused")
        assert re.search(r"-\d+\s+/dev/pts/0\s+5\r", it.until("5\r"))
        assert it.wait() == 0
        assert it.waiting_input() == 0


def test_terminal_escapes_are_neutralised_in_tables(
    engine: RunningEngine, load: Load, tmp_path: Path
) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
    image = load(tar({}), Labels={evil: evil, "plain": evil}, Cmd=["sh", "-c", f"echo '{evil}'"])
    id_ = engine.run_container(image)
    engine.wait(id_)
    command = Command("casemate", engine.socket, str(tmp_path))
    for words in (
        ("ps", "-a", "--no-trunc"),
        ("ps", "-a", "--format", "table {{.Labels}} {{.Command}}"),
        ("images",),
        ("history", "--no-trunc", image),
        ("inspect", id_),
        ("image", "inspect", image),
    ):
        shown = command(*words)
        assert shown and not set(shown) & set("\x1b\x07\x9b\u202e"), words
    assert evil.encode() in engine.output(id_)[0]  # in logs it is asked for


def test_a_name_with_escapes_is_refused(engine: RunningEngine) -> None:
    for name in ("a\x1b[2J", "../a", "a/b", "\u202ea", "-a", "a\n"):
        with pytest.raises(Error):
            engine.client.post(
                "/containers/create?name=" + "".join(f"%{b:02x}" for b in name.encode()),
                {"Image": "busybox"},
            )


@pytest.mark.parametrize(
    ("link", "place"), [("/", "/"), ("/dev", "/dev"), ("../../proc", "/proc"), ("/", "/proc")]
)
def test_no_volume_of_an_image_covers_what_is_the_containers_own(
    engine: RunningEngine, link: str, place: str
) -> None:
    """A link leads from a harmless path to the root, devices or walls (CVE-2019-16884)."""
    buffer = io.BytesIO(busybox_tar())
    with tarfile.open(fileobj=buffer, mode="a") as archive:
        member = tarfile.TarInfo("z")
        member.type, member.linkname = tarfile.SYMTYPE, link
        archive.addfile(member)
    path = "/z" if link != "/" or place == "/" else f"/z{place}"
    engine.import_image(buffer.getvalue(), "leading", f"VOLUME {path}", 'CMD ["sleep", "1000"]')
    for host in ({}, {"Isolation": "sandbox"}, {"Binds": [f"named:{path}"]}):
        id_ = engine.create("leading", **host)
        with pytest.raises(InvalidArgument, match="that is the container's own"):
            engine.start_container(id_)
