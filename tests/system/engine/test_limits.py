"""Each limit is felt by a workload that hits it, and shown by ``walls``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from casemate.errors import InvalidArgument, PermissionDenied, Unsupported
from casemate.linux.cgroups import hugepages, ioweight
from support.engine import RunningEngine, eventually
from support.groups import MIB, SLEEP, kernels

pytestmark = pytest.mark.root

MAKE = "dd if=/dev/zero of=/x bs=64k count=32 oflag=direct 2>&1"
READ = "dd if=/x of=/dev/null bs=64k iflag=direct 2>&1"


def walls(engine: RunningEngine, id_: str) -> dict[str, dict[str, Any]]:
    found = engine.client.get(f"/casemate/containers/{id_}/walls")["Walls"]
    assert not [wall for wall in found if wall["Holds"] is False]
    return {wall["Name"]: wall for wall in found}


def disk_of(engine: RunningEngine) -> str:
    """Return the path of the whole disk on which the engine keeps its things."""
    number = os.stat(engine.root).st_dev
    place = os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if os.path.exists(f"{place}/partition"):
        place = os.path.dirname(place)
    path = f"/dev/{os.path.basename(place)}"
    if not os.path.exists(path) or not os.path.exists(f"{place}/queue"):
        pytest.skip(f"{engine.root} is on no block device")
    return path


@pytest.fixture
def huge() -> Iterator[None]:
    """Four huge pages of 2 MiB for the machine."""
    path = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
    if not os.path.exists(path):
        pytest.skip("this kernel has no huge pages of 2 MiB")
    with open(path, "r+", encoding="ascii") as file:
        before = file.read()
        file.write(str(int(before) + 4))
        file.flush()
        yield
        file.write(before)


@pytest.fixture
def weighing(disk: Path) -> Iterator[str]:
    """A block device whose scheduler knows weights."""
    with open(disk / "disk", "wb") as file:
        file.write(os.urandom(MIB) * 64)
    made = subprocess.run(
        ["losetup", "-f", "--show", "--direct-io=on", f"{disk}/disk"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no loop device: {made.stderr.strip()}")
    device = made.stdout.strip()
    scheduler = Path(f"/sys/block/{os.path.basename(device)}/queue/scheduler")
    before = scheduler.read_text().partition("[")[2].partition("]")[0]
    try:
        if "bfq" not in scheduler.read_text():
            pytest.skip("this kernel has no scheduler that knows weights")
        scheduler.write_text("bfq")
        yield device
    finally:
        scheduler.write_text(before)
        subprocess.run(["losetup", "-d", device], check=True)


def test_weights_divide_a_busy_device(engine: RunningEngine, weighing: str) -> None:
    script = "while :; do dd if=/dev/d of=/dev/null bs=64k iflag=direct 2>/dev/null; done"
    device = [{"PathOnHost": weighing, "PathInContainer": "/dev/d", "CgroupPermissions": "r"}]
    ids = [
        engine.run_container("busybox", "sh", "-c", script, BlkioWeight=weight, Devices=device)
        for weight in (1000, 50)
    ]
    assert walls(engine, ids[0])["weight of block devices"]["Kernel"] == "1000"
    assert engine.inspect(ids[0])["HostConfig"]["BlkioWeight"] == 1000
    before = [read_bytes(engine, id_) for id_ in ids]
    time.sleep(1)
    heavy, light = (read_bytes(engine, id_) - b for id_, b in zip(ids, before, strict=True))
    assert heavy > 1.3 * light
    engine.client.post(f"/containers/{ids[1]}/update", {"BlkioWeight": 500})
    assert walls(engine, ids[1])["weight of block devices"]["Kernel"] == "500"


def read_bytes(engine: RunningEngine, id_: str) -> int:
    """Return how much a container has read from block devices."""
    with kernels(engine.inspect(id_)["Cgroup"]) as cgroup:
        return sum(io.read_bytes for io in cgroup.usage().io or ())


def test_a_weight_of_one_device(engine: RunningEngine, weighing: str) -> None:
    asked = [{"Path": weighing, "Weight": 300}]
    id_ = engine.run_container(*SLEEP, BlkioWeightDevice=asked)
    wall = walls(engine, id_)["weight of block devices"]
    assert wall["Setting"].endswith("=300") and wall["Setting"] in wall["Kernel"]
    assert engine.inspect(id_)["HostConfig"]["BlkioWeightDevice"] == asked
    for weight in (9, 1001):
        with pytest.raises(InvalidArgument, match="Range of blkio weight is from 10 to 1000"):
            engine.create("busybox", "true", BlkioWeight=weight)


def test_a_weight_that_means_nothing_is_refused(engine: RunningEngine) -> None:
    if ioweight.is_known():
        pytest.skip("a block device here knows weights")
    for asked in ({"BlkioWeight": 300}, {"BlkioWeightDevice": [{"Path": "/dev/x", "Weight": 1}]}):
        with pytest.raises((Unsupported, InvalidArgument)):
            engine.create("busybox", "true", **asked)
    with pytest.raises(Unsupported, match="no block device has the scheduler bfq"):
        engine.create("busybox", "true", BlkioWeight=300)


@pytest.mark.parametrize(
    ("member", "rate", "script"),
    [
        ("BlkioDeviceWriteBps", 2 * MIB, MAKE),
        ("BlkioDeviceWriteIOps", 32, MAKE),
        ("BlkioDeviceReadBps", 2 * MIB, f"{MAKE}; {READ}"),
        ("BlkioDeviceReadIOps", 32, f"{MAKE}; {READ}"),
    ],
)
def test_a_block_device_is_throttled(
    engine: RunningEngine, member: str, rate: int, script: str
) -> None:
    """2 MiB, or 32 requests, take a second."""
    asked = [{"Path": disk_of(engine), "Rate": rate}]
    id_ = engine.run_container(
        "busybox", "sh", "-c", f"read go; {script}", OpenStdin=True, **{member: asked}
    )
    shown = walls(engine, id_)["block devices"]
    assert str(rate) in shown["Kernel"] and shown["Kernel"] == shown["Setting"]
    assert engine.inspect(id_)["HostConfig"][member] == asked
    since = time.monotonic()
    done = engine.exec(id_, "sh", "-c", script)
    assert done.out.count(b"32+0 records out") == script.count("dd"), done
    assert time.monotonic() - since > 0.7


def test_several_throttles_of_a_device_count_together(engine: RunningEngine) -> None:
    disk = disk_of(engine)
    both = {"BlkioDeviceReadBps": [{"Path": disk, "Rate": MIB}, {"Path": disk, "Rate": 2 * MIB}],
            "BlkioDeviceWriteIOps": [{"Path": disk, "Rate": 9}],
            "BlkioDeviceReadIOps": [{"Path": disk, "Rate": 0}]}  # fmt: skip
    id_ = engine.run_container(*SLEEP, **both)
    kernel = walls(engine, id_)["block devices"]["Kernel"]
    assert kernel.endswith(f" read_bps={2 * MIB} write_iops=9")


def test_without_the_oom_killer_a_container_waits_for_memory(engine: RunningEngine) -> None:
    """It stands still at its limit, and goes on when it has more."""
    script = "awk 'BEGIN { x = sprintf(\"%24000000d\", 1); print length(x) }'"
    id_ = engine.create(
        "busybox", "sh", "-c", script,
        Memory=16 * MIB, MemorySwap=16 * MIB, OomKillDisable=True,
    )  # fmt: skip
    engine.start_container(id_)
    with kernels(engine.inspect(id_)["Cgroup"]) as cgroup:
        place = cgroup.hierarchies.find("memory", cgroup.path)
        assert place
        eventually(lambda: place.read("memory.oom_control"), lambda text: "under_oom 1" in text)
    assert walls(engine, id_)["OOM killer"]["Kernel"] == "off"
    assert engine.inspect(id_)["HostConfig"]["OomKillDisable"] is True
    engine.client.post(f"/containers/{id_}/update", {"Memory": 64 * MIB, "MemorySwap": 64 * MIB})
    assert engine.wait(id_) == 0
    assert engine.output(id_)[0] == b"24000000\n"


def test_what_stands_still_for_want_of_memory_can_be_killed(engine: RunningEngine) -> None:
    script = "awk 'BEGIN { x = sprintf(\"%24000000d\", 1) }'"
    id_ = engine.run_container(
        "busybox", "sh", "-c", script,
        Memory=16 * MIB, MemorySwap=16 * MIB, OomKillDisable=True,
    )  # fmt: skip
    engine.client.call("DELETE", f"/containers/{id_}?force=1")


def test_to_have_no_oom_killer_and_no_limit_is_warned_of(engine: RunningEngine) -> None:
    body = {"Image": "busybox", "HostConfig": {"OomKillDisable": True}}
    found = engine.client.post("/containers/create", body)["Warnings"]
    assert len(found) == 1 and found[0].startswith("OOM killer is disabled for the container, but")


def test_huge_pages_are_counted(engine: RunningEngine, huge: None) -> None:
    """What is mapped beyond the limit is refused; as much as the limit is had."""
    map_ = "import mmap, sys; mmap.mmap(-1, int(sys.argv[1]) << 20, flags=0x40022)"
    python = os.path.realpath(sys.executable)
    limits = [{"PageSize": "2MB", "Limit": 4 * MIB}]
    id_ = engine.run_container(*SLEEP, HugepageLimits=limits, Binds=["/:/host:ro"])
    assert walls(engine, id_)["huge pages in bytes"]["Kernel"] == f"2MB: {4 * MIB}"
    codes = [
        engine.exec(id_, "chroot", "/host", python, "-I", "-S", "-c", map_, str(mib))
        for mib in (4, 6)
    ]
    assert [done.code for done in codes] == [0, 1], codes
    assert b"Cannot allocate memory" in codes[1].err


def test_shares_divide_a_busy_processor(engine: RunningEngine) -> None:
    script = ("busybox", "sh", "-c", "while :; do :; done")
    ids = [
        engine.run_container(*script, CpusetCpus="0", CpuShares=shares) for shares in (2048, 256)
    ]
    assert walls(engine, ids[0])["processor shares"]["Kernel"] == "2048"
    times = []
    for id_ in ids:
        with kernels(engine.inspect(id_)["Cgroup"]) as cgroup:
            times.append(cgroup.usage().cpu)
    time.sleep(1)
    used = []
    for id_, before in zip(ids, times, strict=True):
        with kernels(engine.inspect(id_)["Cgroup"]) as cgroup:
            after = cgroup.usage().cpu
            assert after and before
            used.append(after.total_ns - before.total_ns)
    assert used[0] > 2 * used[1]


def test_a_quota_stops_a_busy_container(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "while :; do :; done", NanoCpus=200_000_000)
    with kernels(engine.inspect(id_)["Cgroup"]) as cgroup:
        before, since = cgroup.usage().cpu, time.monotonic()
        time.sleep(1)
        after, elapsed_s = cgroup.usage().cpu, time.monotonic() - since
    assert before and after
    assert (after.total_ns - before.total_ns) / 1e9 / elapsed_s < 0.3
    assert after.throttled_periods > before.throttled_periods


def test_resource_limits_are_felt(engine: RunningEngine) -> None:
    ulimits = [{"Name": "fsize", "Soft": 4096, "Hard": 4096}]
    id_ = engine.run_container(*SLEEP, Ulimits=ulimits)
    assert "fsize 4096:4096" in walls(engine, id_)["resource limits"]["Kernel"]
    done = engine.exec(id_, "sh", "-c", "yes > /x; wc -c < /x")
    assert done.out == b"4096\n", done


def test_a_device_is_what_the_rules_say(engine: RunningEngine) -> None:
    """The node is there in both; it opens where a rule lets it."""
    id_ = engine.run_container(*SLEEP, CapAdd=["MKNOD"])
    make = "mknod /n c 1 11; exec 3>/n"
    assert b"not permitted" in engine.exec(id_, "sh", "-c", make).err
    id_ = engine.run_container(*SLEEP, CapAdd=["MKNOD"], DeviceCgroupRules=["c 1:11 w"])
    assert engine.exec(id_, "sh", "-c", make).code == 0
    assert "c 1:11 w" in walls(engine, id_)["devices"]["Setting"]


def test_a_directory_of_devices_is_given_with_all_that_is_in_it(engine: RunningEngine) -> None:
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("needs /dev/net/tun")
    mapping = {"PathOnHost": "/dev/net", "PathInContainer": "/dev/n", "CgroupPermissions": "r"}
    id_ = engine.run_container(*SLEEP, Devices=[mapping])
    assert engine.exec(id_, "sh", "-c", "exec 3</dev/n/tun").code == 0
    assert b"not permitted" in engine.exec(id_, "sh", "-c", "exec 3>/dev/n/tun").err


MORE_CPUS = (len(os.sched_getaffinity(0)) + 1) * 10**9


@pytest.mark.parametrize(
    ("host", "match"),
    [
        ({"NanoCpus": MORE_CPUS}, r"from 0.01 to \d+.00, as there are only \d+ CPUs available"),
        ({"NanoCpus": 10**6}, "range of CPUs is from 0.01"),
        ({"NanoCpus": -1}, "range of CPUs is from 0.01"),
        ({"CpusetCpus": "x"}, "Invalid value x for cpuset cpus"),
        ({"CpusetMems": "0-"}, "Invalid value 0- for cpuset mems"),
        ({"CpusetCpus": "0,9999"}, "CPUs are not available - requested 0,9999, available: 0"),
        ({"CpusetMems": "77"}, "Requested memory nodes are not available - requested 77"),
        ({"CpuShares": 1}, "invalid CPU shares 1"),
        ({"CpuShares": -1}, "invalid CPU shares -1"),
        ({"CpuQuota": -2}, "invalid --cpu-quota -2"),
        ({"Memory": 1 << 62}, "invalid --memory 4611686018427387904"),
        ({"Memory": 8 * MIB, "MemorySwap": -2}, "invalid --memory-swap -2"),
        ({"MemoryReservation": 1}, "Minimum memory reservation allowed is 6MB"),
        ({"PidsLimit": 1 << 40}, "invalid --pids-limit"),
        ({"BlkioDeviceReadBps": [{"Path": "/dev/nix", "Rate": 1}]}, "stat /dev/nix: no such file"),
        ({"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": 1}]}, "it is not a block device"),
        ({"BlkioDeviceReadBps": [{"Path": "/dev/null", "Rate": -1}]}, "not a rate"),
        ({"BlkioDeviceReadIOps": [{"Path": "/dev/null", "Rate": 1 << 32}]}, "not a rate"),
        ({"HugepageLimits": [{"PageSize": "3MB", "Limit": 1}]}, "3MB: this machine has"),
        ({"HugepageLimits": [{"PageSize": "2MB", "Limit": -1}]}, "is no number of bytes"),
        ({"Devices": [{"PathOnHost": "/dev/nix"}]}, "error gathering device information"),
        ({"Devices": [{"PathOnHost": "/etc", "PathInContainer": "/dev/x"}]}, "not a device node"),
        ({"Devices": [{"PathOnHost": "/dev/zero", "PathInContainer": "/dev/null"}]}, "has its own"),
    ],
)  # fmt: skip
def test_what_this_machine_cannot_keep_is_refused_at_the_creation(
    engine: RunningEngine, host: dict[str, Any], match: str
) -> None:
    if "2MB" in str(host) and "2MB" not in hugepages.sizes():
        pytest.skip("this kernel has no huge pages of 2 MiB")
    with pytest.raises(InvalidArgument, match=match):
        engine.create("busybox", "true", **host)


def test_a_part_of_a_disk_is_no_device_of_its_own(engine: RunningEngine) -> None:
    parts = [name for name in os.listdir("/sys/class/block") if re.search(r"[a-z]p?[0-9]+$", name)]
    found = [n for n in parts if os.path.exists(f"/sys/class/block/{n}/partition")]
    if not found:
        pytest.skip("no disk here has parts")
    with pytest.raises(InvalidArgument, match="it is a part of a disk"):
        asked = [{"Path": f"/dev/{found[0]}", "Rate": 1}]
        engine.create("busybox", "true", BlkioDeviceReadBps=asked)


def test_to_be_killed_later_than_others_takes_a_capability(engine: RunningEngine) -> None:
    with open("/proc/self/status", encoding="ascii") as file:
        held = int(next(line.split()[1] for line in file if line.startswith("CapBnd")), 16)
    if held & 1 << 24:
        said = engine.says("busybox", "cat", "/proc/self/oom_score_adj", OomScoreAdj=-500)
        assert said == "-500\n"
    else:
        with pytest.raises(PermissionDenied, match="--oom-score-adj to -500"):
            engine.create("busybox", "true", OomScoreAdj=-500)


def test_the_least_needed_is_killed_first(engine: RunningEngine) -> None:
    """Of two that need the same, the one with the higher score."""
    script = """
        hold() { mkfifo /f$1; (head -c 1 > /r$1; sleep 1000) < /f$1 &
                 exec dd if=/dev/zero of=/f$1 bs=8M count=1; }
        (echo 500 > /proc/self/oom_score_adj; hold 1) & first=$!
        hold 2 & second=$!
        while [ ! -s /r1 ] || [ ! -s /r2 ]; do sleep 0.01; done
        dd if=/dev/zero of=/dev/null bs=18M count=1
        kill -0 $second && ! kill -0 $first && echo right
    """
    id_ = engine.run_container("busybox", "sh", "-c", script, Memory=30 * MIB, MemorySwap=30 * MIB)
    engine.wait(id_)
    assert b"right" in engine.output(id_)[0], engine.output(id_)


@pytest.mark.parametrize(("member", "value"), [("OomKillDisable", True), ("MemorySwappiness", 10)])
def test_what_version_2_does_not_have_is_refused_there(
    engine: RunningEngine, member: str, value: Any
) -> None:
    if engine.client.get("/info")["CgroupVersion"] == "1":
        pytest.skip("memory is managed by version 1 here")
    with pytest.raises(Unsupported):
        engine.create("busybox", "true", **{member: value})
