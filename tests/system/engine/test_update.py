"""Limits and policies that change while a container lives: in the kernel, on paper, or not."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from casemate.errors import Conflict, InvalidArgument, Unsupported
from casemate.linux.cgroups import cgroup as cgroups
from casemate.linux.cgroups import layout
from casemate.linux.cgroups.hierarchies import Hierarchies
from casemate.linux.cgroups.values import Limits
from support.engine import RunningEngine
from support.lives import actions, reaches, restarts, status

pytestmark = pytest.mark.root

MIB = 1 << 20
SLEEP = ("busybox", "sleep", "1000")


def in_force(engine: RunningEngine, id_: str) -> Limits:
    """Return what the kernel holds."""
    hierarchies = Hierarchies(layout.detect())
    try:
        return cgroups.at(hierarchies, engine.inspect(id_)["Cgroup"]).limits()
    finally:
        hierarchies.close()


def update(engine: RunningEngine, id_: str, **asked: object) -> None:
    engine.client.post(f"/containers/{id_}/update", asked)


@pytest.mark.parametrize(
    ("created", "asked", "held"),
    [
        ({"Memory": 32 * MIB}, {"Memory": 48 * MIB}, {"memory_bytes": 48 * MIB}),
        ({"Memory": 32 * MIB}, {"Memory": 24 * MIB}, {"memory_bytes": 24 * MIB}),
        (
            {"Memory": 32 * MIB},
            {"Memory": 128 * MIB, "MemorySwap": 256 * MIB},
            {"memory_bytes": 128 * MIB, "memory_swap_bytes": 256 * MIB},
        ),
        ({"Memory": 32 * MIB}, {"MemorySwap": -1}, {"memory_swap_bytes": -1}),
        ({}, {"MemoryReservation": 16 * MIB}, {"memory_low_bytes": 16 * MIB}),
        ({}, {"CpuShares": 2048}, {"cpu_shares": 2048}),
        ({}, {"CpuQuota": 50_000}, {"cpu_quota_us": 50_000}),
        ({"CpuQuota": 50_000}, {"CpuQuota": -1}, {"cpu_quota_us": -1}),
        (
            {"CpuQuota": 50_000},
            {"CpuPeriod": 200_000},
            {"cpu_quota_us": 50_000, "cpu_period_us": 200_000},
        ),
        ({}, {"NanoCpus": 500_000_000}, {"cpu_quota_us": 50_000, "cpu_period_us": 100_000}),
        ({"NanoCpus": 10**9}, {"NanoCpus": 250_000_000}, {"cpu_quota_us": 25_000}),
        ({}, {"CpusetCpus": "0"}, {"cpus": "0"}),
        ({"PidsLimit": 10}, {"PidsLimit": 20}, {"pids": 20}),
        ({"PidsLimit": 10}, {"PidsLimit": -1}, {"pids": -1}),
        ({"PidsLimit": 10}, {"PidsLimit": 0}, {"pids": -1}),
    ],
)
def test_a_limit_is_changed_while_it_runs(
    own: RunningEngine, created: dict[str, Any], asked: dict[str, Any], held: dict[str, Any]
) -> None:
    id_ = own.run_container(*SLEEP, **created)
    update(own, id_, **asked)
    found = in_force(own, id_)
    assert {field: getattr(found, field) for field in held} == held
    own.client.post(f"/containers/{id_}/restart?t=0")
    found = in_force(own, id_)
    assert {field: getattr(found, field) for field in held} == held


@pytest.fixture
def own(engine: RunningEngine) -> RunningEngine:
    return engine


def test_what_does_not_run_has_the_limit_when_it_does(engine: RunningEngine) -> None:
    id_ = engine.create(*SLEEP, Memory=32 * MIB)
    update(engine, id_, PidsLimit=7, Memory=40 * MIB)
    engine.start_container(id_)
    assert in_force(engine, id_)._replace(devices=()).pids == 7
    host = engine.inspect(id_)["HostConfig"]
    assert (host["PidsLimit"], host["Memory"], host["MemorySwap"]) == (7, 40 * MIB, 64 * MIB)


def test_a_new_limit_is_felt(engine: RunningEngine) -> None:
    """The workload needs more than the old limit, and gets it; then less, and is killed."""
    script = "while [ ! -e /go ]; do sleep 0.01; done; dd if=/dev/zero of=/dev/null bs=24M count=1"
    for memory, code in ((64, 0), (12, 1)):
        id_ = engine.run_container("busybox", "sh", "-c", script, Memory=16 * MIB)
        update(engine, id_, Memory=memory * MIB, MemorySwap=memory * MIB)
        engine.exec(id_, "touch", "/go")
        assert bool(engine.wait(id_)) == bool(code)
        assert engine.inspect(id_)["State"]["OOMKilled"] == bool(code)


def test_what_the_kernel_refuses_is_undone(engine: RunningEngine) -> None:
    """The first part was in force already when the second one failed."""
    script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=20; echo ready; sleep 1000"
    id_ = engine.run_container("busybox", "sh", "-c", script, Memory=40 * MIB, MemorySwap=40 * MIB)
    before, asked = in_force(engine, id_), engine.inspect(id_)["HostConfig"]
    with pytest.raises((InvalidArgument, Conflict), match=f"Cannot update container {id_}: "):
        update(engine, id_, Memory=20 * MIB, CpuShares=100, CpusetCpus="0,999")
    assert in_force(engine, id_) == before
    assert engine.inspect(id_)["HostConfig"] == asked
    update(engine, id_, CpuShares=300)
    assert in_force(engine, id_).cpu_shares == 300


@pytest.mark.parametrize(
    ("created", "asked", "error", "match"),
    [
        ({"CpuPeriod": 50_000}, {"NanoCpus": 10**9}, Conflict,
         "Nano CPUs cannot be updated as CPU Period has already been set"),
        ({"CpuQuota": 50_000}, {"NanoCpus": 10**9}, Conflict,
         "Nano CPUs cannot be updated as CPU Quota has already been set"),
        ({"NanoCpus": 10**9}, {"CpuPeriod": 50_000}, Conflict,
         "CPU Period cannot be updated as NanoCPUs has already been set"),
        ({"NanoCpus": 10**9}, {"CpuQuota": 50_000}, Conflict,
         "CPU Quota cannot be updated as NanoCPUs has already been set"),
        ({"Memory": 32 * MIB}, {"Memory": 128 * MIB}, Conflict,
         "Memory limit should be smaller than already set memoryswap limit"),
        ({}, {"Memory": 128 * MIB}, Conflict,
         "Memory limit should be smaller than already set memoryswap limit"),
        ({"Memory": 32 * MIB}, {"Memory": MIB}, InvalidArgument, "Minimum memory limit"),
        ({"Memory": 32 * MIB}, {"MemorySwap": 16 * MIB}, InvalidArgument, "memoryswap limit"),
        ({}, {"CpuPeriod": 5}, InvalidArgument, "CPU cfs period"),
        ({}, {"CpuQuota": 5}, InvalidArgument, "CPU cfs quota"),
        ({"AutoRemove": True}, {"RestartPolicy": {"Name": "always"}}, Conflict,
         "Restart policy cannot be updated because AutoRemove is enabled"),
        ({}, {"RestartPolicy": {"Name": "x"}}, InvalidArgument, "unknown policy 'x'"),
        ({}, {"Privileged": True}, Unsupported, "Privileged cannot be updated"),
        ({}, {"Binds": ["/:/x"]}, Unsupported, "Binds cannot be updated"),
        ({}, {"Memroy": 1}, Unsupported, "Memroy is not supported"),
        ({}, {"CpuRealtimePeriod": 1}, Unsupported, "--cpu-rt-period is not supported yet"),
    ],
)  # fmt: skip
def test_what_cannot_be_updated_changes_nothing(
    engine: RunningEngine, created: dict[str, Any], asked: dict[str, Any], error: Any, match: str
) -> None:
    id_ = engine.run_container(*SLEEP, **created)
    before = engine.inspect(id_)["HostConfig"]
    with pytest.raises(error, match=match):
        update(engine, id_, **asked)
    assert engine.inspect(id_)["HostConfig"] == before


def test_an_empty_update_changes_nothing(engine: RunningEngine) -> None:
    since = time.time_ns()
    id_ = engine.run_container(*SLEEP, Memory=32 * MIB, PidsLimit=9)
    before = engine.inspect(id_)["HostConfig"]
    # What docker's command sends for options that are not given.
    everything = {"CpuShares": 0, "Memory": 0, "CgroupParent": "", "BlkioWeight": 0,
                  "Devices": None, "PidsLimit": None, "Ulimits": None,
                  "RestartPolicy": {"Name": "", "MaximumRetryCount": 0}}  # fmt: skip
    assert engine.client.post(f"/containers/{id_}/update", everything) == {"Warnings": []}
    assert engine.inspect(id_)["HostConfig"] == before
    assert actions(engine, since)[-1] == "update"


def test_a_policy_is_in_force_from_the_update_on(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "sleep 0.2; exit 1")
    update(engine, id_, RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 50})
    restarts(engine, id_, 2)
    update(engine, id_, RestartPolicy={"Name": "no"})
    reaches(engine, id_, "exited")
    assert engine.inspect(id_)["HostConfig"]["RestartPolicy"]["Name"] == "no"


def test_updates_survive_the_engine(own_engine: RunningEngine) -> None:
    """Also one that the engine did not live to bring into force."""
    from casemate.database import Database
    from casemate.engine.records import Records

    engine = own_engine
    id_ = engine.run_container(*SLEEP, Memory=32 * MIB)
    update(engine, id_, Memory=48 * MIB, PidsLimit=30)
    engine.kill()
    database = Database(f"{engine.root}/state.db")
    records = Records(database)
    record = records.find(id_)
    import msgspec

    records.configure(id_, msgspec.structs.replace(record.fixed.host, pids_limit=77), updating=True)
    database.close()
    engine.start()
    found = in_force(engine, id_)
    assert (found.memory_bytes, found.pids) == (48 * MIB, 77)
    assert engine.inspect(id_)["HostConfig"]["PidsLimit"] == 77


def test_updates_and_the_end_at_the_same_time_agree(engine: RunningEngine) -> None:
    id_ = engine.run_container(*SLEEP, RestartPolicy={"Name": "always"})
    stop = threading.Event()

    def end() -> None:
        from casemate.http.client import Client
        from support.engine import PREFIX

        client = Client(f"unix://{engine.socket}", PREFIX)
        while not stop.is_set():
            client.post(f"/containers/{id_}/restart?t=0")
        client.close()

    thread = threading.Thread(target=end)
    thread.start()
    for shares in range(100, 130):
        update(engine, id_, CpuShares=shares)
    stop.set()
    thread.join(30)
    assert status(engine, id_) == "running"
    assert in_force(engine, id_).cpu_shares == 129
