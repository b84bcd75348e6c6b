"""Directories and files of the host, and memory, inside a container."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from casemate.errors import InvalidArgument, Unsupported
from support.engine import RunningEngine
from support.files import got

pytestmark = pytest.mark.root

BIND = {"Type": "bind", "Source": "/tmp", "Target": "/a"}


def test_a_directory_is_shared(engine: RunningEngine, tmp_path: Path) -> None:
    (tmp_path / "seen").write_text("from the host")
    said = engine.says(
        "busybox", "sh", "-c", "cat /in/seen; echo back > /in/back", Binds=[f"{tmp_path}:/in"]
    )
    assert said == "from the host"
    assert (tmp_path / "back").read_text() == "back\n"


def test_a_file_is_shared(engine: RunningEngine, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    said = engine.says(
        "busybox", "sh", "-c", "cat /etc/new/file; echo 2 > /etc/new/file",
        Binds=[f"{file}:/etc/new/file"],
    )  # fmt: skip
    assert (said, file.read_text()) == ("1", "2\n")


def test_read_only_is_read_only_all_the_way_down(engine: RunningEngine, tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", below], check=True)
    try:
        id_ = engine.run_container(
            "busybox", "sh", "-c", "touch /in/x; touch /in/below/x", Binds=[f"{tmp_path}:/in:ro"]
        )
        engine.wait(id_)
        assert engine.output(id_)[1].count(b"Read-only file system") == 2
    finally:
        subprocess.run(["umount", below], check=True)
    assert sorted(os.listdir(tmp_path)) == ["below"]


@pytest.mark.parametrize(
    ("options", "below", "inside"),
    [
        ({}, True, False),
        ({"ReadOnlyForceRecursive": True, "Propagation": "rprivate"}, True, False),
        ({"ReadOnlyNonRecursive": True}, True, True),
        ({"NonRecursive": True}, False, False),
    ],
)
def test_how_deep_a_read_only_bind_goes(
    engine: RunningEngine, tmp_path: Path, options: dict[str, object], below: bool, inside: bool
) -> None:
    deep = tmp_path / "below"
    deep.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", deep], check=True)
    (deep / "there").touch()
    mount = {"Type": "bind", "Source": str(tmp_path), "Target": "/in", "ReadOnly": True}
    try:
        id_ = engine.create(
            "busybox", "sh", "-c", "ls /in/below; touch /in/x; touch /in/below/x",
            Mounts=[{**mount, "BindOptions": options}],
        )  # fmt: skip
        assert ("./there" in got(engine, id_, "/in/below/.")) == below  # before there is a run
        engine.start_container(id_)
        engine.wait(id_)
        out, err = engine.output(id_)
        assert (out == b"there\n") == below
        assert err.count(b"Read-only file system") == (1 if inside else 2)
        assert (deep / "x").exists() == inside
    finally:
        subprocess.run(["umount", deep], check=True)


def test_a_bind_that_can_be_written_may_be_flat(engine: RunningEngine, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", tmp_path / "below"], check=True)
    (tmp_path / "below/there").touch()
    mount = {"Type": "bind", "Source": str(tmp_path), "Target": "/in"}
    options = {"BindOptions": {"NonRecursive": True}}
    try:
        said = engine.says(
            "busybox", "sh", "-c", "ls /in/below; touch /in/x", Mounts=[mount | options]
        )
    finally:
        subprocess.run(["umount", tmp_path / "below"], check=True)
    assert said == "" and (tmp_path / "x").exists()


def test_a_missing_source_is_made_only_by_binds(engine: RunningEngine, tmp_path: Path) -> None:
    engine.create("busybox", "true", Binds=[f"{tmp_path}/a/b:/in"])
    assert (tmp_path / "a/b").is_dir()
    mount = {"Type": "bind", "Source": f"{tmp_path}/c", "Target": "/in"}
    with pytest.raises(InvalidArgument, match="bind source path does not exist"):
        engine.create("busybox", "true", Mounts=[mount])
    assert not (tmp_path / "c").exists()
    engine.create("busybox", "true", Mounts=[{**mount, "BindOptions": {"CreateMountpoint": True}}])
    assert (tmp_path / "c").is_dir()


def test_showing_a_plan_makes_nothing(engine: RunningEngine, tmp_path: Path) -> None:
    mount = {"Type": "bind", "Source": f"{tmp_path}/c", "Target": "/in"}
    host = {"Mounts": [{**mount, "BindOptions": {"CreateMountpoint": True}}]}
    engine.client.post("/casemate/plan", {"Image": "busybox", "HostConfig": host})
    engine.client.post(
        "/casemate/plan", {"Image": "busybox", "HostConfig": {"Binds": [f"{tmp_path}/d:/x"]}}
    )
    assert os.listdir(tmp_path) == []
    assert engine.client.get("/containers/json?all=1") == []


def test_a_plan_tells_what_stands_beside_the_steps(engine: RunningEngine) -> None:
    body = {
        "Image": "busybox",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "HostConfig": {
            "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]},
            "PublishAllPorts": True,
            "Memory": 64 << 20,
            "Annotations": {"org.example.a": "b"},
        },
    }
    plan = engine.client.post("/casemate/plan", body)
    assert plan["Spec"]["annotations"] == {"org.example.a": "b"}
    assert plan["Network"] == "bridge"
    assert plan["Ports"] == ["127.0.0.1:8080 to 80/tcp", "*:(any) to 53/udp"]
    assert (plan["Limits"]["memory_bytes"], plan["Limits"]["pids"]) == (64 << 20, 2048)
    for line in ("network  bridge", "port  *:(any) to 53/udp", f"memory_bytes  {64 << 20}"):
        assert line in plan["Text"]


@pytest.mark.parametrize(
    ("propagation", "seen"),
    [
        ("private", False),
        ("slave", True),
        ("shared", True),
        ("rprivate", False),
        ("rslave", True),
        ("rshared", True),
    ],
)
def test_propagation(engine: RunningEngine, tmp_path: Path, propagation: str, seen: bool) -> None:
    place = tmp_path / "place"
    (place / "later").mkdir(parents=True)
    subprocess.run(["mount", "--bind", place, place], check=True)
    subprocess.run(["mount", "--make-rshared", place], check=True)
    try:
        id_ = engine.run_container(
            "busybox", "sleep", "1000", Binds=[f"{place}:/in:{propagation}"], CapAdd=["SYS_ADMIN"]
        )
        subprocess.run(["mount", "-t", "tmpfs", "later", place / "later"], check=True)
        (place / "later/file").touch()
        assert (engine.exec(id_, "ls", "/in/later").out == b"file\n") == seen
        engine.exec(id_, "mkdir", "/in/inner")
        engine.exec(id_, "mount", "-t", "tmpfs", "inner", "/in/inner")
        mounts = Path("/proc/self/mountinfo").read_text()
        assert (f"{place}/inner " in mounts) == propagation.endswith("shared")
    finally:
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
        subprocess.run(["umount", "-R", place], check=True)
    assert f"{tmp_path}" not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("propagation", ["shared", "slave"])
def test_propagation_that_the_host_does_not_have_is_told(
    engine: RunningEngine, tmp_path: Path, propagation: str
) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "mine", tmp_path], check=True)
    try:
        subprocess.run(["mount", "--make-private", tmp_path], check=True)
        id_ = engine.create("busybox", "true", Binds=[f"{tmp_path}:/in:{propagation}"])
        with pytest.raises(InvalidArgument, match=f"is not a {propagation}|is not a shared"):
            engine.start_container(id_)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_memory_file_systems(engine: RunningEngine) -> None:
    mount = {
        "Type": "tmpfs",
        "Target": "/b",
        "TmpfsOptions": {"SizeBytes": 2 << 20, "Mode": 0o700},
        "ReadOnly": True,
    }
    said = engine.says(
        "busybox", "sh", "-c", "grep -E ' /(a|b) ' /proc/mounts; stat -c %a /a /b",
        Tmpfs={"/a": "size=1m,exec,mode=755"}, Mounts=[mount],
    )  # fmt: skip
    lines = sorted(said.splitlines()[:2], key=lambda line: line.split()[1])
    assert {"rw", "nosuid", "nodev", "size=1024k"} <= set(lines[0].split()[3].split(","))
    assert "noexec" not in lines[0]
    assert {"ro", "noexec", "size=2048k"} <= set(lines[1].split()[3].split(","))
    assert said.splitlines()[2:] == ["755", "700"]


def test_the_size_of_memory_holds(engine: RunningEngine) -> None:
    id_ = engine.run_container(
        "busybox", "dd", "if=/dev/zero", "of=/t/x", "bs=1M", "count=3", Tmpfs={"/t": "size=1m"}
    )
    engine.wait(id_)
    assert b"No space left on device" in engine.output(id_)[1]


def test_what_was_mounted_a_moment_ago_is_seen(engine: RunningEngine, tmp_path: Path) -> None:
    """Rooms are made ahead, and on a host without shared mounts they would not see it."""
    engine.says("busybox", "true")  # the next rooms are being made
    subprocess.run(["mount", "-t", "tmpfs", "late", tmp_path], check=True)
    try:
        (tmp_path / "file").touch()
        assert engine.says("busybox", "ls", "/in", Binds=[f"{tmp_path}:/in"]) == "file\n"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_nested_mounts_are_made_from_the_outside_in(engine: RunningEngine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    said = engine.says(
        "busybox", "sh", "-c", "ls /a/b; ls /a", Binds=[f"{tmp_path}:/a/b"], Tmpfs={"/a": ""}
    )
    assert said == "file\nb\n"


def test_what_the_engine_mounts_can_be_replaced(engine: RunningEngine, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("mine\n")
    said = engine.says("busybox", "cat", "/etc/hosts", Binds=[f"{tmp_path}/hosts:/etc/hosts"])
    assert said == "mine\n"
    assert engine.says("busybox", "ls", "/dev/shm", Binds=[f"{tmp_path}:/dev/shm"]) == "hosts\n"


def test_the_hosts_sys_and_dev_can_cover_the_containers(engine: RunningEngine) -> None:
    script = "ls -d /dev/loop-control /sys/fs/cgroup/*; touch /sys/new; ls /sys/firmware"
    said = engine.says(
        "busybox", "sh", "-c", f"{{ {script}; }} 2>&1", Binds=["/dev:/dev", "/sys:/sys:ro"]
    )
    assert "/dev/loop-control\n" in said
    assert all(f"/sys/fs/cgroup/{name}\n" in said for name in os.listdir("/sys/fs/cgroup"))
    assert said.endswith("/sys/new: Read-only file system\n")  # and what is masked is empty


def test_inspect_tells_what_is_mounted(engine: RunningEngine, tmp_path: Path) -> None:
    id_ = engine.create("busybox", "true", Binds=[f"{tmp_path}:/in:ro"], Tmpfs={"/t": ""})
    bind, tmpfs = engine.inspect(id_)["Mounts"]
    assert bind == {
        "Type": "bind",
        "Source": str(tmp_path),
        "Destination": "/in",
        "Mode": "ro",
        "RW": False,
        "Propagation": "rprivate",
    }
    assert (tmpfs["Type"], tmpfs["Destination"]) == ("tmpfs", "/t")


@pytest.mark.parametrize(
    ("host", "kind", "match"),
    [
        ({"Binds": ["/tmp:relative"]}, InvalidArgument, "must be absolute"),
        ({"Binds": ["/tmp:/"]}, InvalidArgument, "can't be '/'"),
        ({"Binds": ["/tmp://"]}, InvalidArgument, "can't be '/'"),
        ({"Binds": ["/tmp:/a/.."]}, InvalidArgument, "can't be '/'"),
        ({"Binds": ["/tmp"]}, InvalidArgument, "invalid volume specification"),
        ({"Binds": ["/tmp:/a:zz"]}, InvalidArgument, "invalid mode"),
        ({"Binds": ["/tmp:/a", "/var:/a"]}, InvalidArgument, "Duplicate mount point"),
        ({"Binds": ["/tmp:/a", "/var://a/"]}, InvalidArgument, "Duplicate mount point"),
        ({"Binds": ["name:/a:rx"]}, InvalidArgument, "invalid mode"),
        ({"Binds": ["x:/a"]}, InvalidArgument, "local volume name"),
        ({"Binds": ["/tmp:/proc"]}, InvalidArgument, "needs its own"),
        ({"Binds": ["/tmp://proc"]}, InvalidArgument, "needs its own"),
        ({"Binds": ["/tmp:/x/../proc"]}, InvalidArgument, "needs its own"),
        ({"Tmpfs": {"/dev": ""}}, InvalidArgument, "already one"),
        ({"Binds": ["/tmp:/proc/self"]}, InvalidArgument, "needs its own"),
        ({"Tmpfs": {"/t": "bogus"}}, InvalidArgument, "invalid tmpfs option"),
        ({"Tmpfs": {"/t": "size=-1"}}, InvalidArgument, "invalid tmpfs option 'size=-1'"),
        ({"Tmpfs": {"/t": "mode=99999"}}, InvalidArgument, "invalid tmpfs option"),
        ({"Tmpfs": {"/t": "uid=bob"}}, InvalidArgument, "invalid tmpfs option"),
        (
            {"Mounts": [{"Type": "tmpfs", "Source": "/x", "Target": "/a"}]},
            InvalidArgument,
            "Source must not be specified",
        ),
        ({"Binds": ["/tmp:/a:ro,rw"]}, InvalidArgument, "contradicts itself"),
        ({"Binds": ["/tmp:/a:rslave,rshared"]}, InvalidArgument, "contradicts itself"),
        ({"Tmpfs": {"/t": "size=1m,lowerdir=/"}}, InvalidArgument, "invalid tmpfs option"),
        ({"Mounts": [{"Type": "image", "Target": "/a"}]}, Unsupported, "mount type 'image'"),
        (
            {"Mounts": [{"Type": "bind", "Source": "x", "Target": "/a"}]},
            InvalidArgument,
            "absolute",
        ),
        (
            {"Mounts": [{**BIND, "BindOptions": {"ReadOnlyNonRecursive": True}}]},
            InvalidArgument,
            "!ReadOnly && ReadOnlyNonRecursive",
        ),
        (
            {"Mounts": [{**BIND, "BindOptions": {"ReadOnlyForceRecursive": True}}]},
            InvalidArgument,
            "!ReadOnly && ReadOnlyForceRecursive",
        ),
        ({"Binds": ["/tmp:/a:idmap"]}, InvalidArgument, "no user namespace"),
        (
            {"Mounts": [{"Type": "tmpfs", "Target": "/a", "TmpfsOptions": {"Mode": -1}}]},
            InvalidArgument,
            "out of range",
        ),
        (
            {"Mounts": [{"Type": "tmpfs", "Target": "/a", "BindOptions": {"Propagation": "x"}}]},
            InvalidArgument,
            "another type",
        ),
    ],
)
def test_what_cannot_be_mounted_is_refused(
    engine: RunningEngine, host: dict[str, object], kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        engine.create("busybox", "true", **host)
    assert engine.client.get("/containers/json?all=1") == []


def test_no_mount_outlives_its_container(engine: RunningEngine, tmp_path: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text().count("\n")
    ids = [
        engine.run_container("busybox", "sleep", "1000", Binds=[f"{tmp_path}:/in"])
        for _ in range(3)
    ]
    for id_ in ids:
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
    assert Path("/proc/self/mountinfo").read_text().count("\n") <= before + 1
