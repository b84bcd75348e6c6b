"""The dial: process, container, sandbox; user namespaces; namespaces shared with others."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from casemate.errors import Conflict, InvalidArgument
from support.engine import RunningEngine

pytestmark = pytest.mark.root

PRIVATE = {"UsernsMode": "private"}
STATUS = "grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' /proc/self/status"


def namespaces(engine: RunningEngine, **host: object) -> dict[str, str]:
    """Return which namespaces a container is in, by their name."""
    names = ("mnt", "pid", "net", "ipc", "uts", "user", "cgroup")
    script = f"for i in {' '.join(names)}; do readlink /proc/self/ns/$i; done"
    return dict(zip(names, engine.says("busybox", "sh", "-c", script, **host).split(), strict=True))


def of_the_host(name: str) -> str:
    return os.readlink(f"/proc/self/ns/{name}")


def test_a_limited_process_shares_all_but_its_root(engine: RunningEngine) -> None:
    found = namespaces(engine, Isolation="process")
    assert {n for n in found if found[n] != of_the_host(n)} == {"mnt"}


def test_a_sandbox_shares_nothing_and_may_little(engine: RunningEngine) -> None:
    found = namespaces(engine, Isolation="sandbox")
    assert all(found[name] != of_the_host(name) for name in found)
    script = f"{STATUS}; ls /sys/class/net; touch /made 2>&1; touch /tmp/made && echo scratch"
    said = engine.says("busybox", "sh", "-c", script, Isolation="sandbox")
    lines = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    assert lines["NoNewPrivs"] == "1" and lines["Seccomp"] == "2"
    assert int(lines["CapEff"], 16).bit_count() == 3
    assert "Read-only file system" in said and said.endswith("scratch\n")
    assert "eth0" not in said


def test_a_sandbox_may_be_given_a_network(engine: RunningEngine) -> None:
    said = engine.says("busybox", "ls", "/sys/class/net", Isolation="sandbox", NetworkMode="bridge")
    assert "eth0" in said


def test_root_in_a_user_namespace_is_nobody_on_the_host(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000", **PRIVATE)
    owner = os.stat(f"/proc/{engine.inspect(id_)['State']['Pid']}").st_uid
    assert owner >= 1 << 31
    other = engine.run_container("busybox", "sleep", "1000", **PRIVATE)
    assert os.stat(f"/proc/{engine.inspect(other)['State']['Pid']}").st_uid != owner
    assert engine.exec(id_, "id", "-u").out == b"0\n"
    assert b"0 " in engine.exec(id_, "cat", "/proc/self/uid_map").out


@pytest.mark.parametrize("tty", [False, True])
def test_a_user_other_than_root_owns_the_streams(engine: RunningEngine, tty: bool) -> None:
    command = ("sh", "-c", "echo $(id -u):$(id -g) > /proc/self/fd/1")
    host = {"Isolation": "sandbox", "User": "33:44", "Tty": tty}
    one = engine.run_container("busybox", *command, **host)
    assert engine.wait(one) == 0
    with engine.client.request("GET", f"/containers/{one}/logs?stdout=1") as reply:
        assert b"33:44" in reply.read()
    id_ = engine.run_container("busybox", "sleep", "1000", Isolation="sandbox")
    done = engine.exec(id_, *command, User="5:6", Tty=tty)
    assert (done.code, done.out.strip()) == (0, b"5:6")


def test_owners_are_on_disk_as_they_are_inside(engine: RunningEngine) -> None:
    script = "mkdir /d; echo x > /d/f; chown 1000:1001 /d/f; chmod 700 /d; stat -c %u:%g /d /d/f"
    id_ = engine.run_container("busybox", "sh", "-c", script, **PRIVATE)
    assert engine.wait(id_) == 0
    assert engine.output(id_)[0] == b"0:0\n1000:1001\n"
    with engine.client.request("GET", f"/containers/{id_}/export") as reply:
        archive = tarfile.open(fileobj=io.BytesIO(reply.read()))
    owners = {e.name: (e.uid, e.gid) for e in archive if e.name in ("d", "d/f", "bin/busybox")}
    assert owners["d"] == (0, 0) and owners["d/f"] == (1000, 1001)
    image = engine.client.post(f"/commit?container={id_}&repo=mapped")["Id"]
    assert engine.says(image, "stat", "-c", "%u:%g", "/d/f") == "1000:1001\n"
    engine.client.call("DELETE", f"/images/{image}?force=1")


@pytest.mark.parametrize("mode", ["idmap", "ro"])
@pytest.mark.parametrize("isolation", ["container", "sandbox"])
def test_a_mapped_bind_shows_the_hosts_root_as_root(
    engine: RunningEngine, tmp_path: Path, mode: str, isolation: str
) -> None:
    (tmp_path / "mine").write_text("mine\n")
    os.chmod(tmp_path / "mine", 0o600)
    script = "cat /b/mine; stat -c %u /b/mine; echo made > /b/made"
    host = {"Binds": [f"{tmp_path}:/b:{mode}"], "Isolation": isolation, **PRIVATE}
    id_ = engine.run_container("busybox", "sh", "-c", script, **host)
    code = engine.wait(id_)
    assert engine.output(id_)[0] == b"mine\n0\n"
    if mode == "ro":
        assert code != 0 and not (tmp_path / "made").exists()
    else:
        assert (tmp_path / "made").stat().st_uid == 0


@pytest.mark.parametrize("isolation", ["container", "sandbox"])
def test_no_file_of_the_hosts_root_is_left_in_a_bind(
    engine: RunningEngine, tmp_path: Path, isolation: str
) -> None:
    """What can be written is not mapped: what root inside leaves there is nobody's on the host."""
    (tmp_path / "mine").write_text("mine\n")
    os.chmod(tmp_path / "mine", 0o600)
    os.chmod(tmp_path, 0o777)
    script = (
        "cat /b/mine; chown 0 /b/mine; chmod 4755 /b/mine; cp /bin/busybox /b/sh;"
        " chown 0:0 /b/sh; chmod 6755 /b/sh; stat -c %u:%a /b/sh; grep ' /b ' /proc/mounts"
    )
    host = {"Binds": [f"{tmp_path}:/b"], "Isolation": isolation, **PRIVATE}
    id_ = engine.run_container("busybox", "sh", "-c", script, **host)
    engine.wait(id_)
    out, err = engine.output(id_)
    options = out.split()[-3].split(b",")
    assert out.startswith(b"0:6755\n") and {b"rw", b"nosuid", b"nodev"} <= set(options)
    assert err.count(b"/b/mine") == 3
    assert (tmp_path / "sh").stat().st_uid >= 1 << 31
    mine = (tmp_path / "mine").stat()
    assert (mine.st_uid, mine.st_mode & 0o7777) == (0, 0o600)


def test_what_is_the_hosts_stays_so(engine: RunningEngine) -> None:
    script = (
        "mknod /n c 1 3 2>&1; mount -t tmpfs x /mnt 2>&1; echo 1 > /proc/sys/vm/swappiness;"
        " echo x > /dev/null && echo null"
    )
    id_ = engine.run_container("busybox", "sh", "-c", script, CapAdd=["MKNOD"], **PRIVATE)
    engine.wait(id_)
    out, err = engine.output(id_)
    assert b"mknod" in out and b"mount" in out and out.endswith(b"null\n")
    assert b"Read-only file system" in err


def test_namespaces_of_another_container(engine: RunningEngine) -> None:
    first = engine.run_container("busybox", "sleep", "1000", name="first", IpcMode="shareable")
    joined = dict.fromkeys(("PidMode", "IpcMode", "NetworkMode"), f"container:{first}")
    there = {n: engine.exec(first, "readlink", f"/proc/self/ns/{n}").out.decode().strip()
             for n in ("pid", "ipc", "net", "uts")}  # fmt: skip
    found = namespaces(engine, **joined)
    assert {n for n in there if found[n] == there[n]} == {"pid", "ipc", "net"}
    hosts = engine.exec(first, "cat", "/etc/hosts").out.decode()
    assert engine.says("busybox", "cat", "/etc/hosts", **joined) == hosts
    engine.client.post(f"/containers/{first}/stop?t=0")
    for kind in joined:
        with pytest.raises((Conflict, InvalidArgument), match="running"):
            engine.run_container("busybox", "true", **{kind: joined[kind]})


@pytest.mark.parametrize(
    ("option", "name"),
    [("PidMode", "pid"), ("IpcMode", "ipc"), ("UTSMode", "uts"), ("CgroupnsMode", "cgroup")],
)
def test_namespaces_of_the_host(engine: RunningEngine, option: str, name: str) -> None:
    assert namespaces(engine, **{option: "host"})[name] == of_the_host(name)


@pytest.mark.parametrize(
    ("host", "match"),
    [
        ({"Isolation": "vault"}, "process, container, sandbox"),
        ({"PidMode": "container:"}, "invalid PID mode"),
        ({"UsernsMode": "private", "Privileged": True}, "incompatible with user namespaces"),
        ({"UsernsMode": "private", "PidMode": "host"}, "host PID namespace"),
        ({"IpcMode": "some"}, "invalid IPC mode"),
        ({"NetworkMode": "container:x", "PublishAllPorts": True}, "port publishing"),
    ],
)
def test_what_contradicts_itself_is_refused(
    engine: RunningEngine, host: dict[str, object], match: str
) -> None:
    with pytest.raises(InvalidArgument, match=match):
        engine.create("busybox", "true", **host)
