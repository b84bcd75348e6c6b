"""Groups are for ever: whatever dies, and also when the machine does."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import secrets
import threading
import time
from collections.abc import Iterator

import pytest

from casemate.errors import Error, Unavailable
from casemate.http.client import Client
from casemate.linux.cgroups.cgroup import Cgroup
from support.engine import RunningEngine, eventually
from support.groups import MIB, SLEEP, GroupsOf, kernels, remove_containers

pytestmark = pytest.mark.root

DEATHS = 6
SEED = int(os.environ.get("CASEMATE_CRASH_SEED", str(random.randrange(10**6))))


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


class Work:
    """Makes, fills, changes, empties and removes groups, and notes what was acknowledged."""

    def __init__(self, engine: RunningEngine) -> None:
        #: Groups that must be there, each with the task limits that it may have.
        self.there: dict[str, set[int]] = {}
        self.gone: set[str] = set()
        self.rounds = 0
        self._engine = engine
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def goes_on(self) -> None:
        """Wait until it has done all of it once more."""
        before = self.rounds
        eventually(lambda: bool(self._errors) or self.rounds > before, bool)

    def join(self) -> None:
        """Let it come to the end of what it does."""
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self._errors:
            raise self._errors[0]

    def _run(self) -> None:
        client = Client(f"unix://{self._engine.socket}", "")
        for number in itertools.count():
            if self._stop.is_set() or self._errors:
                break
            try:
                self._round(client, f"g{number}-{secrets.token_hex(2)}")
                self.rounds += 1
            except (OSError, ValueError, Unavailable):
                client.close()  # cut off: nobody knows how far it came
                self._stop.wait(0.02)
            except (Error, AssertionError) as error:
                self._errors.append(error)
        client.close()

    def _round(self, client: Client, name: str) -> None:
        inner = f"{name}-in"
        for one, parent in ((name, ""), (inner, name)):
            asked = {"Name": one, "Parent": parent, "PidsLimit": 50}
            client.post("/casemate/groups/create", asked)
            self.there[one] = {50}
        body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"Group": inner}}
        id_ = client.post("/v1.47/containers/create", body)["Id"]
        client.post(f"/v1.47/containers/{id_}/start")
        self.there[name].add(60)
        client.post(f"/casemate/groups/{name}/update", {"PidsLimit": 60})
        self.there[name] = {60}
        client.call("DELETE", f"/v1.47/containers/{id_}?force=1")
        for one in (inner, name):
            del self.there[one]
            client.call("DELETE", f"/casemate/groups/{one}")
            self.gone.add(one)


def test_groups_survive_deaths_at_any_moment(own_engine: RunningEngine, groups: GroupsOf) -> None:
    dice = random.Random(SEED)
    print(f"CASEMATE_CRASH_SEED={SEED}")  # shown when it fails
    for _ in range(DEATHS):
        work = Work(own_engine)
        time.sleep(dice.uniform(0, 0.2))
        own_engine.kill()
        own_engine.start()
        work.goes_on()
        work.join()
        names = set(groups.names())
        assert set(work.there) <= names and not work.gone & names
        for name, limits in work.there.items():
            found = groups.inspect(name)
            assert found["Budget"]["PidsLimit"] in limits
            assert found["InForce"]["PidsLimit"] == found["Budget"]["PidsLimit"]
        assert own_engine.fsck() == []
