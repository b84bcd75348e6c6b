"""Containers and images by hand: files, execs, logs, verbs."""

from __future__ import annotations

from pathlib import Path

import pytest

import casemate
from casemate import Engine
from casemate.errors import Conflict, InvalidArgument, NotFound
from support.engine import RunningEngine

pytestmark = pytest.mark.root


def test_files_go_in_and_out(api: Engine, tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"\0" * 300_000)
    with api.run("busybox", ["sleep", "60"]) as c:
        c.put_all({"/in/a/b/x": b"data", "/in/a/y": "text ü", "/tmp/z": tmp_path / "own"})
        assert c.exec(["cat", "/in/a/b/x", "/in/a/y"]).text == "datatext ü"
        assert c.exec(["stat", "-c", "%a %u", "/in", "/in/a/y", "/tmp"]).text.split() == [
            *("755", "0", "644", "0", "1777", "0"),
        ]
        assert c.get("/tmp/z") == b"\0" * 300_000
        assert c.get_all("/in") == {"/in/a/b/x": b"data", "/in/a/y": "text ü".encode()}


def test_a_file_that_is_not_there_or_too_large_is_refused(api: Engine) -> None:
    with api.run("busybox", ["sleep", "60"]) as c:
        with pytest.raises(NotFound, match="/none"):
            c.get("/none")
        with pytest.raises(InvalidArgument, match="regular file"):
            c.get("/bin/ls")  # a link
        with pytest.raises(InvalidArgument, match="more than 10 bytes"):
            c.get("/bin/busybox", limit=10)
        with pytest.raises(InvalidArgument, match="not a directory"):
            c.put("/etc/passwd/x", b"")


def test_a_trap_of_links_keeps_what_is_written_inside(api: Engine, tmp_path: Path) -> None:
    with api.run("busybox", ["sleep", "60"]) as c:
        c.exec(["ln", "-s", str(tmp_path), "/trap"], check=True)
        c.exec(["mkdir", "-p", str(tmp_path)], check=True)
        c.put("/trap/x", b"inside")
        assert c.exec(["cat", f"{tmp_path}/x"]).text == "inside"
    assert not list(tmp_path.iterdir())


def test_an_exec_has_input_output_and_a_status(api: Engine) -> None:
    with api.run("busybox", ["sleep", "60"]) as c:
        data = b"0123456789" * 50_000
        assert c.exec(["cat"], input=data).stdout == data
        done = c.exec(["sh", "-c", "echo $A; pwd >&2; exit 9"], env={"A": "b"}, workdir="/tmp")
        assert (done.exit_code, done.stdout, done.stderr) == (9, b"b\n", b"/tmp\n")
        assert c.exec(["no-such-program"]).exit_code == 127
        with pytest.raises(casemate.Failed):
            c.exec(["false"], check=True)
        with pytest.raises(InvalidArgument, match="invalid colour='red'"):
            c.exec(["true"], colour="red")  # type: ignore[call-arg]
        assert c.status == "running"


def test_an_exec_that_takes_too_long_ends_the_container(api: Engine) -> None:
    with api.run("busybox", ["sleep", "60"]) as c:
        with pytest.raises(casemate.Timeout) as caught:
            c.exec(["sh", "-c", "echo begun; sleep 60"], timeout=0.3)
        assert caught.value.result.stdout == b"begun\n"
        assert c.wait() == 137


def test_a_container_that_nobody_owns_stays(api: Engine, engine: RunningEngine) -> None:
    c = api.containers.create("busybox", ["sh", "-c", "echo one; echo two >&2; exec sleep 60"])
    try:
        assert c.status == "created"
        c.start()
        c.pause()
        assert c.status == "paused"
        c.unpause()
        assert [found.id for found in api.containers.list()] == [c.id]
        assert api.containers.get(c.id[:12]).id == c.id
        with pytest.raises(Conflict):
            c.remove()
        c.kill("TERM")
        c.stop(0.1)
        assert c.wait() == 137
        assert (c.logs().stdout, c.logs().stderr) == (b"one\n", b"two\n")
        assert sorted(c.follow()) == [b"one\n", b"two\n"]
        c.restart()
        assert c.status == "running"
    finally:
        c.remove(force=True)
    with pytest.raises(NotFound):
        c.inspect()


def test_images_are_made_named_saved_and_removed(api: Engine, tmp_path: Path) -> None:
    archive = b"".join(api.images.save("busybox:latest"))
    (tmp_path / "saved.tar").write_bytes(archive)
    api.images.tag("busybox", "other:2")
    try:
        found = api.images.get("other:2")
        assert set(found.tags) == {"busybox:latest", "other:2"}
        assert found.size_bytes > 0
        assert found.id in [image.id for image in api.images.list()]
    finally:
        api.images.remove("other:2")
    assert "busybox:latest" in api.images.load(tmp_path / "saved.tar")
    with pytest.raises(casemate.Error, match=r"127\.0\.0\.1:1"):
        api.images.pull("127.0.0.1:1/nothing")
    with pytest.raises(NotFound):
        api.images.get("nothing")
