"""Every member of the API's HostConfig is executed or refused by name; none is ignored."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from casemate.engine.model import Config, HostConfig
from casemate.errors import InvalidArgument, Unsupported
from support.engine import RunningEngine

pytestmark = pytest.mark.root

#: Refused: a value that asks for something, and how the message calls it.
REFUSED: dict[str, tuple[Any, str]] = {
    "Cgroup": ("container:x", "Cgroup"),
    "CpuCount": (1, "--cpu-count"),
    "CpuPercent": (1, "--cpu-percent"),
    "CpuRealtimePeriod": (1000, "--cpu-rt-period"),
    "CpuRealtimeRuntime": (1000, "--cpu-rt-runtime"),
    "DeviceRequests": ([{"Count": -1, "Capabilities": [["gpu"]]}], "--gpus"),
    "IOMaximumBandwidth": (1, "--io-maxbandwidth"),
    "IOMaximumIOps": (1, "--io-maxiops"),
    "Links": (["a:b"], "--link"),
    "Runtime": ("runc", "--runtime runc"),
    "StorageOpt": ({"size": "1G"}, "--storage-opt"),
    "VolumeDriver": ("other", "--volume-driver other"),
}

#: Executed; another test shows each one at work.
EXECUTED = {
    *("AutoRemove", "Binds", "CapAdd", "CapDrop", "CgroupParent", "ConsoleSize", "CpuPeriod"),
    *("CpuQuota", "CpuShares", "CpusetCpus", "CpusetMems", "DeviceCgroupRules", "Devices", "Dns"),
    *("DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "Init", "LogConfig", "MaskedPaths"),
    *("Memory", "MemoryReservation", "MemorySwap", "MemorySwappiness", "Mounts", "NanoCpus"),
    *("NetworkMode", "OomScoreAdj", "PidsLimit", "PortBindings", "Privileged", "PublishAllPorts"),
    *("ReadonlyPaths", "ReadonlyRootfs", "RestartPolicy", "SecurityOpt", "ShmSize", "Sysctls"),
    *(
        "Tmpfs",
        "Ulimits",
        "VolumesFrom",
        "CgroupnsMode",
        "IpcMode",
        "Isolation",
        "PidMode",
        "UTSMode",
    ),
    *(
        "UsernsMode",
        "OnUnhealthy",
        "Group",
        "HugepageLimits",
        "OomKillDisable",
        "BlkioDeviceReadBps",
        "BlkioWeight",
    ),
    *("BlkioDeviceReadIOps", "BlkioDeviceWriteBps", "BlkioDeviceWriteIOps", "BlkioWeightDevice"),
}

#: Said to others than the engine: where the client writes the id, and remarks.
REMARKS = {"ContainerIDFile", "Annotations"}


def test_the_tables_are_whole() -> None:
    known = set(HostConfig.__struct_encode_fields__)
    assert known == REFUSED.keys() | EXECUTED | REMARKS
    assert len(known) == len(REFUSED) + len(EXECUTED) + len(REMARKS)


@pytest.mark.parametrize("member", sorted(REFUSED))
def test_what_is_not_executed_is_refused_by_name(engine: RunningEngine, member: str) -> None:
    value, name = REFUSED[member]
    with pytest.raises(Unsupported, match=name):
        engine.create("busybox", "true", **{member: value})
    assert engine.client.get("/containers/json?all=1") == []


@pytest.mark.parametrize("member", sorted(REFUSED))
def test_what_asks_for_nothing_is_accepted(engine: RunningEngine, member: str) -> None:
    empty = msgspec.to_builtins(HostConfig())[member]
    engine.create("busybox", "true", **{member: empty})
    engine.create("busybox", "true", **{member: None})


@pytest.mark.parametrize(
    ("body", "match"),
    [
        ({"HostConfig": {"KernelMemory": 1 << 30}}, "KernelMemory is not supported"),
        ({"HostConfig": {"Memroy": 1 << 30}}, "Memroy"),
        ({"hostconfig": {"Privileged": True}}, "hostconfig"),
        ({"HostConfig": {"privileged": True}}, "privileged"),
        ({"Memory": 1 << 30}, "Memory"),
        ({"HostConfig": {"RestartPolicy": {"Nam": "always"}}}, "Nam is not"),
        ({"HostConfig": {"Mounts": [{"BindOptions": {"Recursive": 1}}]}}, "Recursive is not"),
        ({"HostConfig": {"PortBindings": {"80/tcp": [{"HostIP": "::1"}]}}}, "HostIP is not"),
        ({"HostConfig": {"LogConfig": {"Type": "syslog"}}}, "--log-driver syslog"),
        (
            {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"Links": ["a:b"]}}}},
            "--link for network bridge",
        ),
        (
            {
                "NetworkingConfig": {
                    "EndpointsConfig": {"bridge": {"IPAMConfig": {"LinkLocalIPs": ["fe80::1"]}}}
                }
            },
            "--link-local-ip",
        ),
        ({"NetworkingConfig": {"EndpointsConfig": {"bridge": {"Colour": "red"}}}}, "Colour"),
    ],
)
def test_members_that_nobody_knows_are_refused(
    engine: RunningEngine, body: dict[str, Any], match: str
) -> None:
    for path in ("/containers/create", "/casemate/plan"):
        with pytest.raises(Unsupported, match=match):
            engine.client.post(path, {"Image": "busybox", **body})
    assert engine.client.get("/containers/json?all=1") == []


def test_unknown_members_that_ask_for_nothing_are_accepted(engine: RunningEngine) -> None:
    body = {"Image": "busybox", "New": None, "HostConfig": {"KernelMemory": 0, "X": {}, "Y": []}}
    assert engine.client.post("/containers/create", body)["Id"]


def test_inspect_gives_back_what_was_asked(engine: RunningEngine) -> None:
    asked = {
        "CpuShares": 512,
        "CapAdd": ["NET_ADMIN"],
        "Dns": ["9.9.9.9"],
        "Sysctls": {"net.ipv4.ip_default_ttl": "77"},
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "0"}]},
        "Ulimits": [{"Name": "nofile", "Soft": 64, "Hard": 128}],
    }
    id_ = engine.create("busybox", "true", **asked)
    found = engine.inspect(id_)["HostConfig"]
    assert {name: found[name] for name in asked} == asked


def test_inspect_tells_what_is_in_force_where_nothing_was_asked(engine: RunningEngine) -> None:
    def told(**host: Any) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = engine.inspect(engine.create("busybox", "true", **host))
        return found["HostConfig"]

    usual = told()
    assert (usual["IpcMode"], usual["CgroupnsMode"]) == ("private", "private")
    assert (usual["Runtime"], usual["ShmSize"], usual["ReadonlyRootfs"]) == (
        "casemate",
        64 << 20,
        False,
    )
    assert "/proc/kcore" in usual["MaskedPaths"] and "/proc/sys" in usual["ReadonlyPaths"]
    assert told(Privileged=True)["MaskedPaths"] is None
    assert told(MaskedPaths=[])["MaskedPaths"] == []
    assert told(Isolation="process")["IpcMode"] == "host"
    assert told(Isolation="sandbox")["ReadonlyRootfs"]
    assert not told(Isolation="sandbox", SecurityOpt=["read-only=false"])["ReadonlyRootfs"]


@pytest.mark.parametrize("field", Config.__struct_encode_fields__)
def test_members_of_config_of_a_wrong_type_are_an_error(engine: RunningEngine, field: str) -> None:
    with pytest.raises((InvalidArgument, Unsupported)):
        engine.client.post("/containers/create", {"Image": "busybox", field: 3.5})


@pytest.mark.parametrize("tmpfs", [{}, {"/data": ""}])
def test_a_volume_in_a_read_only_root_can_be_written(
    engine: RunningEngine, tmpfs: dict[str, str]
) -> None:
    body = {
        "Image": "busybox",
        "Cmd": ["touch", "/data/x"],
        "Volumes": {"/data": {}},
        "HostConfig": {"ReadonlyRootfs": True, "Tmpfs": tmpfs},
    }
    id_ = engine.client.post("/containers/create", body)["Id"]
    engine.start_container(id_)
    assert engine.wait(id_) == 0
