"""Groups are for ever: whatever dies, and also when the machine does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from casemate.linux.cgroups.cgroup import Cgroup
from support.engine import RunningEngine
from support.groups import MIB, SLEEP, GroupsOf, kernels, remove_containers

pytestmark = pytest.mark.root


@pytest.fixture
def groups(own_engine: RunningEngine) -> Iterator[GroupsOf]:
    found = GroupsOf(own_engine)
    yield found
    remove_containers(own_engine)
    found.clear()
    found.close()


@contextlib.contextmanager
def killed(engine: RunningEngine) -> Iterator[None]:
    """Have the engine killed, and another one started afterwards."""
    engine.kill()
    yield
    engine.start()


def budget_is_in_force(groups: GroupsOf) -> None:
    found = groups.inspect("build")
    assert found["Parent"] == "ci"
    assert found["InForce"]["PidsLimit"] == 20
    assert groups.inspect("ci")["InForce"]["Memory"] == 64 * MIB


def made(groups: GroupsOf) -> None:
    groups.create("ci", Memory=64 * MIB)
    groups.create("build", "ci", PidsLimit=20)


def test_groups_and_what_is_inside_outlive_the_engine(
    own_engine: RunningEngine, groups: GroupsOf
) -> None:
    made(groups)
    id_ = own_engine.run_container(*SLEEP, Group="build")
    with killed(own_engine):
        pass
    budget_is_in_force(groups)
    assert [c["Id"] for c in groups.inspect("build")["Containers"]] == [id_]
    assert own_engine.fsck() == []


def test_cgroups_that_vanished_with_the_machine_are_made_again(
    own_engine: RunningEngine, groups: GroupsOf
) -> None:
    made(groups)
    path = groups_cgroup(groups)
    with killed(own_engine), kernels(path) as cgroup:
        cgroup.delete()
    assert groups.inspect("ci")["InForce"] is None
    assert own_engine.fsck() == []
    id_ = own_engine.run_container(*SLEEP, Group="build")
    budget_is_in_force(groups)
    assert own_engine.inspect(id_)["Cgroup"].startswith(path)


def groups_cgroup(groups: GroupsOf) -> str:
    return str(groups.inspect("ci")["Cgroup"])


def test_what_was_not_written_down_is_removed_by_the_next_engine(
    own_engine: RunningEngine, groups: GroupsOf
) -> None:
    """Killed between the cgroup and the record, and between a removed cgroup and its record."""
    made(groups)
    path = groups_cgroup(groups)
    with kernels(f"{path}/half.group") as half, kernels(f"{path}/build.group") as build:
        with killed(own_engine):
            half.create()
            build.delete()
        assert not half.exists()
        assert own_engine.fsck() == []
        own_engine.run_container(*SLEEP, Group="build")
        budget_is_in_force(groups)


def test_an_update_that_was_only_written_down_is_put_in_force(
    own_engine: RunningEngine, groups: GroupsOf
) -> None:
    made(groups)
    with kernels(groups_cgroup(groups)) as cgroup, killed(own_engine):
        _lift(cgroup)
    budget_is_in_force(groups)


def _lift(cgroup: Cgroup) -> None:
    """Have the kernel hold other limits than those on paper."""
    cgroup.apply(cgroup.limits()._replace(memory_bytes=-1, memory_swap_bytes=-1, cpus="", mems=""))
    assert cgroup.limits().memory_bytes == -1


def test_a_path_that_was_made_for_a_dead_container_is_removed(own_engine: RunningEngine) -> None:
    id_ = own_engine.run_container(*SLEEP, CgroupParent="casemate-parent-crash/a")
    pid = own_engine.inspect(id_)["State"]["Pid"]
    with kernels("casemate-parent-crash") as top:
        assert pid in top.pids()
        with killed(own_engine):
            top.kill()
        assert not top.exists()
    assert own_engine.fsck() == []
