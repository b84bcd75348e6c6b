"""Groups: named budgets for containers and groups inside, at any depth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from casemate.errors import Conflict, InvalidArgument, NotFound, Unsupported
from support.engine import RunningEngine, eventually
from support.groups import MIB, SLEEP, GroupsOf, kernels, remove_containers

pytestmark = pytest.mark.root


@pytest.fixture
def groups(engine: RunningEngine) -> Iterator[GroupsOf]:
    found = GroupsOf(engine)
    yield found
    remove_containers(engine)
    found.clear()
    found.close()


def test_a_budget_is_in_force_in_the_kernel(engine: RunningEngine, groups: GroupsOf) -> None:
    groups.create(
        "ci", Memory=64 * MIB, MemorySwap=96 * MIB, NanoCpus=1_500_000_000, CpuShares=512,
        CpusetCpus="0", PidsLimit=50,
    )  # fmt: skip
    with kernels(groups.inspect("ci")["Cgroup"]) as cgroup:
        held = cgroup.limits()
    assert (held.memory_bytes, held.memory_swap_bytes) == (64 * MIB, 96 * MIB)
    assert (held.cpu_quota_us, held.cpu_period_us, held.cpu_shares) == (150_000, 100_000, 512)
    assert (held.cpus, held.pids) == ("0", 50)
    found = groups.inspect("ci")
    assert found["Budget"]["NanoCpus"] == 1_500_000_000
    assert found["InForce"]["Memory"] == 64 * MIB


def test_containers_are_inside_at_any_depth(engine: RunningEngine, groups: GroupsOf) -> None:
    for name, parent in (("a", ""), ("b", "a"), ("c", "b")):
        groups.create(name, parent)
    id_ = engine.run_container(*SLEEP, Group="c")
    assert engine.inspect(id_)["Cgroup"].startswith(f"{groups.inspect('c')['Cgroup']}/")
    assert groups.inspect("c")["Cgroup"].endswith("/a.group/b.group/c.group")
    assert groups.inspect("c")["Containers"][0]["Id"] == id_
    assert groups.inspect("a")["Use"]["Pids"] == 1
    assert groups.inspect("a")["Groups"] == ["b"]


def test_a_parent_that_a_docker_client_names_is_a_group_or_a_path(
    engine: RunningEngine, groups: GroupsOf
) -> None:
    groups.create("ci")
    inside = engine.run_container(*SLEEP, CgroupParent="ci")
    assert engine.inspect(inside)["Cgroup"].startswith(groups.inspect("ci")["Cgroup"])
    before = engine.create(*SLEEP, CgroupParent="casemate-parent-x")
    groups.create("casemate-parent-x")
    engine.start_container(before)
    # It was a path when it was said, and stays one.
    assert engine.inspect(before)["Cgroup"].startswith("casemate-parent-x/")


def test_the_memory_of_a_group_is_that_of_all_inside(
    engine: RunningEngine, groups: GroupsOf
) -> None:
    """Each one alone has enough; both together have not."""
    groups.create("ci", Memory=48 * MIB, MemorySwap=48 * MIB)
    script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=30 && echo all && sleep 1000"
    first = engine.run_container("busybox", "sh", "-c", script, Group="ci")
    eventually(lambda: engine.output(first)[0], lambda said: said == b"all\n")
    second = engine.run_container("busybox", "sh", "-c", script, Group="ci")
    ended = first if engine.inspect(first)["State"]["Status"] == "exited" else second
    assert engine.wait(ended) != 0
    assert groups.inspect("ci")["Use"]["MemoryPeak"] > 40 * MIB
    assert engine.inspect(ended)["State"]["OOMKilled"]


def test_the_tasks_of_a_group_are_those_of_all_inside(
    engine: RunningEngine, groups: GroupsOf
) -> None:
    groups.create("ci", PidsLimit=5)
    engine.run_container(*SLEEP, Group="ci")
    script = "for i in 1 2 3 4 5 6 7; do sleep 100 & done; echo all"
    id_ = engine.run_container("busybox", "sh", "-c", script, Group="ci")
    engine.wait(id_)
    out, err = engine.output(id_)
    assert out != b"all\n" and b"can't fork" in err
    assert groups.inspect("ci")["Use"]["Pids"] <= 5


def test_the_processors_of_a_group_are_shared_inside(
    engine: RunningEngine, groups: GroupsOf
) -> None:
    groups.create("ci", NanoCpus=250_000_000)
    for _ in range(2):
        engine.run_container("busybox", "sh", "-c", "while :; do :; done", Group="ci")
    before, at = groups.inspect("ci")["Use"], time.monotonic()
    time.sleep(1)
    after, elapsed = groups.inspect("ci")["Use"], time.monotonic() - at
    assert (after["CpuNs"] - before["CpuNs"]) / 1e9 / elapsed < 0.4
    assert after["ThrottledNs"] > before["ThrottledNs"]


@pytest.mark.parametrize(
    ("budget", "asked", "match"),
    [
        ({"Memory": 64 * MIB}, {"Memory": 65 * MIB, "MemorySwap": 65 * MIB},
         "--memory 68157440: that is more than the"),
        ({"Memory": 64 * MIB, "MemorySwap": 64 * MIB},
         {"Memory": 64 * MIB, "MemorySwap": 80 * MIB}, "--memory-swap 83886080"),
        ({"NanoCpus": 10**9}, {"NanoCpus": 1_500_000_000}, "--cpus 1.5: that is more than the 1"),
        ({"PidsLimit": 20}, {"PidsLimit": 21}, "--pids-limit 21"),
        ({"CpusetCpus": "0"}, {"CpusetCpus": "0-1"}, "--cpuset-cpus 0-1: that is more than the 0"),
    ],
)  # fmt: skip
def test_what_is_inside_cannot_have_more(
    engine: RunningEngine, groups: GroupsOf, budget: Any, asked: Any, match: str
) -> None:
    """Right inside or deeper, a group or a container, at the creation or by an update."""
    groups.create("ci", **budget)
    groups.create("free", "ci")
    with pytest.raises(InvalidArgument, match=f"group more cannot have {match}.* of group ci"):
        groups.create("more", "free", **asked)
    with pytest.raises(InvalidArgument, match=f"container .* cannot have {match}"):
        engine.create(*SLEEP, Group="free", **asked)
    with pytest.raises(InvalidArgument, match=f"group free cannot have {match}"):
        groups.update("free", **asked)
    id_ = engine.run_container(*SLEEP, Group="free")
    with pytest.raises(InvalidArgument, match=match):
        engine.client.post(f"/containers/{id_}/update", asked)
    groups.create("other", **asked)
    other = engine.create(*SLEEP, Group="other", **asked)
    name = engine.inspect(other)["Name"].removeprefix("/")
    with pytest.raises(InvalidArgument, match=f"container {name} cannot have {match}"):
        groups.update("other", **budget)
    assert groups.inspect("other")["Budget"].items() >= asked.items()


def test_a_budget_changes_while_containers_run(engine: RunningEngine, groups: GroupsOf) -> None:
    groups.create("ci", Memory=64 * MIB, PidsLimit=50)
    engine.run_container(*SLEEP, Group="ci")
    groups.update("ci", Memory=128 * MIB, NanoCpus=500_000_000)
    with kernels(groups.inspect("ci")["Cgroup"]) as cgroup:
        held = cgroup.limits()
        assert (held.memory_bytes, held.cpu_quota_us, held.pids) == (128 * MIB, 50_000, 50)
        groups.update("ci", Memory=0, NanoCpus=0, PidsLimit=0)
        held = cgroup.limits()
    assert (held.memory_bytes, held.memory_swap_bytes) == (-1, -1)
    assert (held.cpu_quota_us, held.pids) == (-1, -1)


def test_processors_change_for_all_that_is_inside(engine: RunningEngine, groups: GroupsOf) -> None:
    groups.create("ci")
    groups.create("own", "ci", CpusetCpus="0")
    plain = engine.run_container(*SLEEP, Group="ci")
    chosen = engine.run_container(*SLEEP, Group="ci", CpusetCpus="0")
    deep = engine.run_container(*SLEEP, Group="own")

    def cpus() -> list[str]:
        return [
            engine.exec(id_, "grep", "Cpus_allowed_list", "/proc/self/status")
            .out.split()[1]
            .decode()
            for id_ in (plain, chosen, deep)
        ]

    assert cpus() == ["0-1", "0", "0"]
    groups.update("ci", CpusetCpus="0")
    assert cpus() == ["0", "0", "0"]
    groups.update("ci", CpusetCpus="")
    assert cpus() == ["0-1", "0", "0"]
    with pytest.raises(InvalidArgument, match="group own cannot have --cpuset-cpus 0"):
        groups.update("ci", CpusetCpus="1")


def test_what_the_kernel_refuses_is_undone(engine: RunningEngine, groups: GroupsOf) -> None:
    groups.create("ci", Memory=64 * MIB, MemorySwap=64 * MIB, CpuShares=100)
    script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=30 && echo all && sleep 1000"
    id_ = engine.run_container("busybox", "sh", "-c", script, Group="ci")
    eventually(lambda: engine.output(id_)[0], lambda said: said == b"all\n")
    before = groups.inspect("ci")
    with pytest.raises((Conflict, InvalidArgument)):
        groups.update("ci", CpuShares=200, CpusetCpus="0,999")
    with pytest.raises(Conflict, match="more than that is in use"):
        groups.update("ci", CpuShares=200, Memory=8 * MIB, MemorySwap=8 * MIB)
    after = groups.inspect("ci")
    assert (after["Budget"], after["InForce"]) == (before["Budget"], before["InForce"])


def test_a_group_with_something_inside_stays(engine: RunningEngine, groups: GroupsOf) -> None:
    groups.create("ci")
    groups.create("build", "ci")
    id_ = engine.create(*SLEEP, name="maker", Group="build")
    with pytest.raises(Conflict, match="cannot remove group build: container maker is inside"):
        groups.remove("build")
    with pytest.raises(Conflict, match="cannot remove group ci: group build is inside"):
        groups.remove("ci")
    engine.client.call("DELETE", f"/containers/{id_}")
    path = groups.inspect("ci")["Cgroup"]
    groups.remove("build")
    groups.remove("ci")
    with kernels(path) as cgroup:
        assert not cgroup.exists()
    with pytest.raises(NotFound, match="No such group: ci"):
        groups.inspect("ci")


@pytest.mark.parametrize(
    ("name", "asked", "error", "match"),
    [
        ("", {}, InvalidArgument, "invalid group name ''"),
        ("../x", {}, InvalidArgument, "invalid group name"),
        ("x" * 65, {}, InvalidArgument, "invalid group name"),
        ("ok", {"Parent": "nix"}, NotFound, "No such group: nix"),
        ("ok", {"Memory": 1}, InvalidArgument, "Minimum memory limit allowed is 6MB"),
        ("ok", {"Memory": -1}, InvalidArgument, "Minimum memory limit"),
        ("ok", {"CpusetCpus": "x"}, InvalidArgument, "Invalid value x for cpuset cpus"),
        ("ok", {"CpusetCpus": "999"}, InvalidArgument, "Requested CPUs are not available"),
        ("ok", {"CpuShares": 1 << 40}, InvalidArgument, "invalid CPU shares"),
        ("ok", {"PidsLimit": 1 << 40}, InvalidArgument, "invalid --pids-limit"),
        ("ok", {"Privileged": True}, Unsupported, "Privileged is not supported"),
    ],
)
def test_a_group_that_cannot_be_is_not_made(
    groups: GroupsOf, name: str, asked: dict[str, Any], error: Any, match: str
) -> None:
    with pytest.raises(error, match=match):
        groups.create(name, **asked)
    assert groups.names() == []


def test_a_name_is_taken_once(groups: GroupsOf) -> None:
    groups.create("ci")
    with pytest.raises(Conflict, match="group ci already exists"):
        groups.create("ci")


def test_a_container_is_in_one_group_that_exists(engine: RunningEngine, groups: GroupsOf) -> None:
    groups.create("ci")
    with pytest.raises(InvalidArgument, match="there is no such group"):
        engine.create(*SLEEP, Group="nix")
    with pytest.raises(InvalidArgument, match="both name a parent"):
        engine.create(*SLEEP, Group="ci", CgroupParent="/x")


def test_the_plan_shows_the_group(engine: RunningEngine, groups: GroupsOf) -> None:
    groups.create("ci")
    body = {"Image": "busybox", "HostConfig": {"Group": "ci"}}
    text = engine.client.post("/casemate/plan", body)["Text"]
    assert f"/{groups.inspect('ci')['Cgroup']}/" in text


def test_fsck_holds_budgets_against_the_kernel(engine: RunningEngine, groups: GroupsOf) -> None:
    groups.create("ci", PidsLimit=50)
    with kernels(groups.inspect("ci")["Cgroup"]) as cgroup:
        cgroup.apply(cgroup.limits()._replace(pids=60, cpus="", mems=""))
        (problem,) = engine.fsck()
        assert b"pids.max is '60' instead of '50'" in problem
        assert b"its budget is in force again" in engine.fsck(repair=True)[0]
        assert cgroup.limits().pids == 50
    assert engine.fsck() == []


def test_a_path_is_made_for_containers_and_goes_with_the_last(engine: RunningEngine) -> None:
    parent = "casemate-parent-test/a"
    first = engine.run_container(*SLEEP, CgroupParent=parent)
    second = engine.run_container(*SLEEP, CgroupParent=f"/{parent}/b")
    with kernels("casemate-parent-test") as top:
        assert engine.inspect(first)["Cgroup"].startswith(f"{parent}/")
        for id_, there in ((second, True), (first, False)):
            engine.client.call("DELETE", f"/containers/{id_}?force=1")
            assert top.exists() == there
        top.create()  # what others have made stays
        engine.says("busybox", "true", CgroupParent=parent)
        assert top.exists()
        top.delete()
