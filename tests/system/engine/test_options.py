"""What a container is told: who it is, its names, its limits; read back and felt inside."""

from __future__ import annotations

import os
import resource

import pytest

from casemate.errors import Error, InvalidArgument, NotFound, PermissionDenied
from support.engine import RunningEngine, remove_cgroups

pytestmark = pytest.mark.root


def refused(engine: RunningEngine, match: str, kind: type[Error], **host: object) -> None:
    """Creating a container so is an error, and leaves none."""
    with pytest.raises(kind, match=match):
        engine.create("busybox", "true", **host)
    assert engine.client.get("/containers/json?all=1") == []


# ---- who ----


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("", [], "0 0 0"),
        ("bob", [], "1000 1000 1000 2000"),
        ("1000", [], "1000 1000 1000 2000"),
        ("bob:extra", [], "1000 2000 2000"),
        ("7:8", [], "7 8 8"),
        ("7", ["extra", "33"], "7 0 0 2000 33"),
        ("7", [], "7 0 0"),  # not the groups without members, which are nobody's
    ],
)
def test_users_and_groups(
    engine: RunningEngine, user: str, groups: list[str], expected: str
) -> None:
    script = "echo $(id -u) $(id -g) $(id -G)"
    said = engine.says("busybox", "sh", "-c", script, User=user, GroupAdd=groups)
    assert sorted(said.split()) == sorted(expected.split())


@pytest.mark.parametrize("user", ["nobody", "2147483648", "-1", "0x0", "bob:nope", "１"])
def test_a_user_that_is_none_is_refused_at_the_start(engine: RunningEngine, user: str) -> None:
    id_ = engine.create("busybox", "true", User=user)
    with pytest.raises(InvalidArgument, match=r"user|group"):
        engine.start_container(id_)


def test_environment_directory_and_home(engine: RunningEngine) -> None:
    said = engine.says(
        "busybox", "sh", "-c", "env; pwd", Env=["A=1", "B=x=y", "EMPTY="], WorkingDir="/new/dir",
        User="bob",
    )  # fmt: skip
    lines = said.splitlines()
    assert {"A=1", "B=x=y", "EMPTY=", "HOME=/home/bob"} <= set(lines)
    assert lines[-1] == "/new/dir"


def test_values_with_line_breaks_stay_one_value(engine: RunningEngine) -> None:
    """Escape table B.6, CVE-2026-23953: nothing passes through a line-based file."""
    said = engine.says("busybox", "sh", "-c", 'echo "$A" | wc -l', Env=["A=1\nB=2\nC=3"])
    assert said == "3\n"
    labels = {"a\nb": "c\n\x1b[31m"}
    id_ = engine.client.post("/containers/create", {"Image": "busybox", "Labels": labels})["Id"]
    assert engine.inspect(id_)["Config"]["Labels"] == labels


def test_names_of_host_and_hosts(engine: RunningEngine) -> None:
    id_ = engine.client.post(
        "/containers/create",
        {
            "Image": "busybox",
            "Hostname": "box",
            "Domainname": "example.org",
            "Cmd": ["sh", "-c", "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf"],
            "HostConfig": {
                "ExtraHosts": ["db:10.9.8.7", "six:2001:db8::7"],
                "Dns": ["9.9.9.9"],
                "DnsSearch": ["example.org"],
                "DnsOptions": ["ndots:2"],
            },
        },
    )["Id"]
    engine.start_container(id_)
    assert engine.wait(id_) == 0
    lines = engine.output(id_)[0].decode().splitlines()
    assert lines[:2] == ["box", "box"]
    address = engine.client.get(f"/containers/{id_}/json")["NetworkSettings"]["IPAddress"]
    assert address == ""  # it has ended
    assert "10.9.8.7\tdb" in lines
    assert not any("2001:db8" in line for line in lines)  # the network has no IPv6
    assert any(line.endswith("\tbox.example.org box") for line in lines)
    assert {"nameserver 9.9.9.9", "search example.org", "options ndots:2"} <= set(lines)


@pytest.mark.parametrize(
    ("host", "match"),
    [
        ({"ExtraHosts": ["nocolon"]}, "nocolon"),
        ({"ExtraHosts": ["a\n1.2.3.4 b:1.2.3.4"]}, "invalid extra host"),
        ({"Dns": ["x\ny"]}, "invalid IP address"),
        ({"DnsSearch": ["x\ny"]}, "invalid"),
        ({"DnsOptions": ["x\ny"]}, "invalid"),
        ({"CgroupParent": "../x"}, "invalid cgroup"),
    ],
)
def test_values_that_would_be_lines_of_a_file_are_refused(
    engine: RunningEngine, host: dict[str, object], match: str
) -> None:
    refused(engine, match, InvalidArgument, **host)


# ---- limits ----


def cgroup_value(engine: RunningEngine, id_: str, controller: str, name: str) -> str:
    """Return a control file of the container's cgroup, in either version."""
    with open(f"/proc/{engine.inspect(id_)['State']['Pid']}/cgroup", encoding="ascii") as file:
        places = dict(line.strip().split(":", 2)[1:] for line in file)
    for held, path in places.items():
        if controller in held.split(","):
            return _read(f"/sys/fs/cgroup/{controller}{path}/{name}")
    pytest.skip(f"no {controller} controller of version 1")


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def test_limits_are_in_force(engine: RunningEngine) -> None:
    id_ = engine.run_container(
        "busybox", "sleep", "1000",
        Memory=100 << 20, MemoryReservation=50 << 20, MemorySwap=150 << 20, MemorySwappiness=30,
        CpuShares=512, CpuQuota=50_000, CpuPeriod=100_000, CpusetCpus="0", CpusetMems="0",
        PidsLimit=77,
    )  # fmt: skip
    assert cgroup_value(engine, id_, "memory", "memory.limit_in_bytes") == str(100 << 20)
    assert cgroup_value(engine, id_, "memory", "memory.soft_limit_in_bytes") == str(50 << 20)
    assert cgroup_value(engine, id_, "memory", "memory.memsw.limit_in_bytes") == str(150 << 20)
    assert cgroup_value(engine, id_, "memory", "memory.swappiness") == "30"
    assert cgroup_value(engine, id_, "cpu", "cpu.shares") == "512"
    assert cgroup_value(engine, id_, "cpu", "cpu.cfs_quota_us") == "50000"
    assert cgroup_value(engine, id_, "cpuset", "cpuset.cpus") == "0"
    assert cgroup_value(engine, id_, "pids", "pids.max") == "77"
    asked = engine.inspect(id_)["HostConfig"]
    assert (asked["Memory"], asked["CpuShares"], asked["PidsLimit"]) == (100 << 20, 512, 77)


def test_no_swapping_is_a_limit_by_itself(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000", MemorySwappiness=0)
    assert cgroup_value(engine, id_, "memory", "memory.swappiness") == "0"


def test_cpus_are_a_quota(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000", NanoCpus=1_500_000_000)
    assert cgroup_value(engine, id_, "cpu", "cpu.cfs_quota_us") == "150000"


def test_a_cpuset_is_felt(engine: RunningEngine) -> None:
    said = engine.says("busybox", "grep", "Cpus_allowed_list", "/proc/self/status", CpusetCpus="1")
    assert said.split()[1] == "1"


def test_an_exec_is_under_the_same_limits(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000", PidsLimit=5)
    done = engine.exec(id_, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; true")
    assert b"fork" in done.err


@pytest.mark.parametrize(
    ("host", "match"),
    [
        ({"Memory": 1 << 20}, "Minimum memory limit"),
        ({"Memory": -5}, "Minimum memory limit"),
        ({"MemorySwap": 1 << 30}, "always set the Memory limit"),
        ({"Memory": 100 << 20, "MemorySwap": 50 << 20}, "memoryswap limit should be larger"),
        ({"Memory": 100 << 20, "MemoryReservation": 200 << 20}, "memory reservation"),
        ({"MemorySwappiness": 101}, "swappiness"),
        ({"NanoCpus": 1, "CpuQuota": 5000}, "Conflicting options"),
        ({"CpuQuota": 999}, "quota"),
        ({"CpuPeriod": 999}, "period"),
        ({"OomScoreAdj": 1001}, "range for oom score adj"),
        ({"ConsoleSize": [70_000, 80]}, "invalid terminal size 70000"),
        ({"ConsoleSize": [24, -1]}, "invalid terminal size -1"),
        ({"CapAdd": ["SYS_NOPE"]}, "not the name of a capability"),
        ({"Ulimits": [{"Name": "nope", "Soft": 1, "Hard": 1}]}, "invalid resource limit"),
        ({"Ulimits": [{"Name": "nofile", "Soft": 9, "Hard": 1}]}, "above the hard limit"),
        ({"Sysctls": {"kernel.core_pattern": "|/x"}}, "not in a namespace"),
        ({"Sysctls": {"net/../kernel.core_pattern": "x"}}, "not in a namespace"),
        ({"Sysctls": {"net.ipv4.ip_forward": "1"}, "NetworkMode": "host"}, "not in a namespace"),
        ({"Sysctls": {"net.ipv4.": "1"}}, "not in a namespace"),
        ({"Sysctls": {"net.ipv4.ip_forward": "1\n2"}}, "not a line of text"),
        ({"Sysctls": {"kernel.shmmax": ""}}, "not a line of text"),
        ({"ShmSize": -5}, "SHM size can not be less than 0"),
        ({"DeviceCgroupRules": ["x *:* rwm"]}, "invalid device cgroup rule"),
        ({"SecurityOpt": ["seccomp={"]}, "seccomp"),
        ({"SecurityOpt": ["no-new-privileges=maybe"]}, "expected true or false"),
    ],
)
def test_what_cannot_be_a_limit_is_refused_at_the_creation(
    engine: RunningEngine, host: dict[str, object], match: str
) -> None:
    refused(engine, match, InvalidArgument, **host)


@pytest.mark.parametrize("name", ["net.core.rmem_max", "net.nope.x"])
def test_a_setting_that_cannot_be_made_is_named(engine: RunningEngine, name: str) -> None:
    id_ = engine.create("busybox", "true", Sysctls={name: "4096"})
    with pytest.raises(InvalidArgument, match=f"--sysctl {name}: "):
        engine.start_container(id_)


def test_ulimits(engine: RunningEngine) -> None:
    ulimits = [{"Name": "nofile", "Soft": 64, "Hard": 128}, {"Name": "core", "Soft": 0, "Hard": 0}]
    said = engine.says("busybox", "sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c", Ulimits=ulimits)
    assert said.split() == ["64", "128", "0"]


def test_a_ulimit_above_the_engines_own_is_a_clear_error(engine: RunningEngine) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    status = _read("/proc/self/status")
    held = int(next(x.split()[1] for x in status.splitlines() if x.startswith("CapBnd")), 16)
    if held & 1 << 24:
        pytest.skip("this machine may raise limits (CAP_SYS_RESOURCE)")
    ulimits = [{"Name": "nofile", "Soft": hard + 1, "Hard": hard + 1}]
    refused(engine, "lacks CAP_SYS_RESOURCE", PermissionDenied, Ulimits=ulimits)


def test_oom_score_sysctls_and_shared_memory(engine: RunningEngine) -> None:
    said = engine.says(
        "busybox", "sh", "-c",
        "cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/shmmax;"
        " df -k /dev/shm | tail -1",
        OomScoreAdj=333, ShmSize=3 << 20,
        Sysctls={"net.ipv4.ip_default_ttl": "77", "kernel.shmmax": "12345678"},
    )  # fmt: skip
    words = said.split()
    assert words[:3] == ["333", "77", "12345678"]
    assert words[4] == str(3 << 10)


def test_an_init_reaps_and_forwards(engine: RunningEngine) -> None:
    script = "trap 'exit 42' TERM; (sleep 0.01 &); echo ready; while :; do sleep 0.05; done"
    id_ = engine.run_container("busybox", "sh", "-c", script, Init=True)
    with engine.client.request("GET", f"/containers/{id_}/logs?stdout=1&follow=1") as reply:
        next(reply.chunks())
    dead = "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l"
    assert engine.exec(id_, "sh", "-c", dead).out == b"0\n"
    assert engine.exec(id_, "cat", "/proc/1/comm").out != b"sh\n"
    engine.client.post(f"/containers/{id_}/stop?t=20")
    assert engine.wait(id_) == 42


def test_a_parent_cgroup_is_used(engine: RunningEngine) -> None:
    name = engine.client.get("/info")["ID"]
    parent = f"{name}-parent/below"
    id_ = engine.run_container("busybox", "sleep", "1000", CgroupParent=parent)
    try:
        with open(f"/proc/{engine.inspect(id_)['State']['Pid']}/cgroup", encoding="ascii") as file:
            places = {line.split(":")[1]: line for line in file}
        assert all(f":/{parent}/" in places[name] for name in ("memory", "pids", "devices"))
    finally:
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
        remove_cgroups(f"{name}-parent")
    refused(engine, "the engine's own", InvalidArgument, CgroupParent=f"/{name}/x")


# ---- create ----


def test_an_image_for_another_platform_is_not_run(engine: RunningEngine) -> None:
    with pytest.raises(NotFound, match="does not match the specified platform"):
        engine.client.post("/containers/create?platform=linux/s390x", {"Image": "busybox"})
    created = engine.client.post(
        f"/containers/create?platform=linux/{os.uname().machine}", {"Image": "busybox"}
    )
    assert created["Id"]


def test_a_volume_of_the_image_is_a_directory(engine: RunningEngine) -> None:
    body = {"Image": "busybox", "Cmd": ["ls", "-d", "/data/sub"], "Volumes": {"/data/sub": {}}}
    id_ = engine.client.post("/containers/create", body)["Id"]
    engine.start_container(id_)
    assert engine.wait(id_) == 0


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ({"Image": "nope"}, "No such image"),
        ({"Image": ""}, "no image specified"),
        ({"Image": "busybox", "WorkingDir": "relative"}, "absolute path"),
        ({"Image": "busybox", "StopSignal": "NOPE"}, "Invalid signal"),
        ({"Image": "busybox", "Cmd": [], "Entrypoint": [""]}, "no command"),
        ({"Image": "busybox", "Env": ["=x"]}, "no name"),
        ({"Image": "busybox", "Env": ["A=\0"]}, "NUL"),
        ({"Image": "busybox", "Cmd": "not a list", "Env": 5}, "invalid JSON"),
        ({"Image": "busybox", "HostConfig": {"Memory": 1 << 70}}, "64 bits"),
        ({"Image": "busybox", "HostConfig": {"Memory": "much"}}, "invalid JSON"),
        ({"Image": "busybox", "Hostname": "a b"}, "invalid hostname"),
        ({"Image": "busybox", "Domainname": "a b"}, "invalid domain name"),
        ([], "invalid JSON"),
        (5, "invalid JSON"),
    ],
)
def test_what_cannot_be_a_container_is_refused(
    engine: RunningEngine, body: object, match: str
) -> None:
    with pytest.raises((InvalidArgument, NotFound), match=match):
        engine.client.post("/containers/create", body)
