"""A whole system in a container: its init is the first process, and divides its own cgroups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from casemate.errors import InvalidArgument
from casemate.linux.cgroups.delegation import NAME
from support.commands import Command
from support.engine import RunningEngine, eventually
from support.engines import Start
from support.lives import reaches, restarts, status
from support.systems import init_tar

pytestmark = pytest.mark.root

SYSTEM: dict[str, Any] = {"SecurityOpt": ["system=busybox"]}
SANDBOX = {**SYSTEM, "Isolation": "sandbox"}


def make(engine: RunningEngine) -> None:
    engine.import_image(init_tar(), "init", 'CMD ["/bin/init"]')


@pytest.fixture(scope="module", autouse=True)
def image(shared_engine: RunningEngine) -> Iterator[None]:
    make(shared_engine)
    yield
    shared_engine.client.call("DELETE", "/images/init")


def boot(engine: RunningEngine, **host: Any) -> str:
    id_ = engine.run_container("init", **{**SYSTEM, **host})
    eventually(lambda: engine.output(id_)[0], lambda said: said.count(b"booted") > 0)
    return id_


def test_it_boots_and_stops_in_order(engine: RunningEngine) -> None:
    id_ = boot(engine)
    config = engine.inspect(id_)["Config"]
    assert (config["StopSignal"], config["StopTimeout"]) == ("SIGUSR2", 60)
    engine.client.post(f"/containers/{id_}/stop")
    assert engine.output(id_)[0] == b"booted\nlock\ndown\n"
    assert engine.inspect(id_)["State"]["ExitCode"] == 130
    engine.start_container(id_)
    # What was in /run is gone.
    eventually(lambda: engine.output(id_)[0], lambda said: said.endswith(b"booted\nlock\n"))
    assert engine.exec(id_, "ls", "/run").out == b"lock\nmark\n"


def test_what_the_user_says_of_the_end_wins(engine: RunningEngine) -> None:
    body = {"Image": "init", "StopSignal": "TERM", "StopTimeout": 3, "HostConfig": SYSTEM}
    id_ = engine.client.post("/containers/create", body)["Id"]
    config = engine.inspect(id_)["Config"]
    assert (config["StopSignal"], config["StopTimeout"]) == ("TERM", 3)


@pytest.mark.parametrize("host", [SYSTEM, SANDBOX], ids=["container", "sandbox"])
def test_a_reboot_inside_starts_it_again(engine: RunningEngine, host: dict[str, Any]) -> None:
    id_ = engine.run_container("init", Env=["FIRST=reboot"], **host)
    restarts(engine, id_, 1)
    reaches(engine, id_, "running")
    eventually(lambda: engine.output(id_)[0], lambda said: said.count(b"booted") == 2)
    assert engine.exec(id_, "ls", "/first").code == 0
    engine.client.post(f"/containers/{id_}/stop")
    assert status(engine, id_) == "exited"


def test_a_shut_down_inside_is_the_end_whatever_the_policy(start_engine: Start) -> None:
    engine = start_engine()
    make(engine)
    always = {"RestartPolicy": {"Name": "always"}}
    id_ = engine.run_container("init", Env=["FIRST=poweroff"], **SYSTEM, **always)
    assert engine.wait(id_) == 130
    assert status(engine, id_) == "exited"
    engine.stop()
    engine.start()
    assert status(engine, id_) == "exited"


def test_a_reboot_without_an_engine_is_made_up_for(start_engine: Start) -> None:
    engine = start_engine()
    make(engine)
    id_ = boot(engine)
    pid = engine.inspect(id_)["State"]["Pid"]
    root = f"/proc/{pid}/root"
    engine.exec(id_, "sh", "-c", "(while [ ! -e /go ]; do sleep 0.05; done; reboot) &")
    supervisor = engine.supervisor(id_)
    engine.kill()
    open(f"{root}/go", "w", encoding="ascii").close()
    eventually(lambda: os.path.exists(f"/proc/{supervisor}"), lambda there: not there)
    engine.start()
    restarts(engine, id_, 1)
    reaches(engine, id_, "running")


def test_a_container_that_vanishes_does_not_come_back(engine: RunningEngine) -> None:
    id_ = engine.create("init", Env=["FIRST=reboot"], AutoRemove=True, **SYSTEM)
    engine.start_container(id_)
    eventually(lambda: engine.client.get("/containers/json?all=1"), lambda found: not found)


def test_its_cgroups_are_its_own_to_divide(engine: RunningEngine) -> None:
    id_ = boot(engine)
    script = "cd /sys/fs/cgroup; mkdir a a/b && echo 1 > a/b/cgroup.procs && tail -1 /proc/1/cgroup"
    assert engine.exec(id_, "sh", "-c", script).out == b"0::/a/b\n"
    # A new process is put where the first one is, since what is divided holds none.
    assert engine.exec(id_, "tail", "-n", "1", "/proc/self/cgroup").out == b"0::/a/b\n"
    # The number of cgroups is bounded, and the bound is out of reach.
    script = "i=0; while mkdir /sys/fs/cgroup/x$i 2>/dev/null; do i=$((i+1)); done; echo $i"
    assert int(engine.exec(id_, "sh", "-c", script).out) < 1024
    assert engine.exec(id_, "rmdir", "/sys/fs/cgroup/x0").code == 0


def test_nothing_of_the_limits_is_within_its_reach(engine: RunningEngine) -> None:
    id_ = boot(engine, Memory=64 << 20, PidsLimit=50)
    mounts = engine.exec(id_, "sh", "-c", "mount | grep /sys/fs/cgroup").out.decode().splitlines()
    assert [line.split()[4] for line in mounts] == ["cgroup2"]
    # Where version 2 has controllers, the files are there, and those of the part alone.
    script = "cd /sys/fs/cgroup; for i in memory.max pids.max; do [ -e $i ] && echo max > $i; done"
    engine.exec(id_, "sh", "-c", script)
    script = "mkdir /sys/fs/cgroup/f; echo $$ > /sys/fs/cgroup/f/cgroup.procs;"
    script += "for i in $(seq 60); do sleep 9 & done"
    done = engine.exec(id_, "sh", "-c", script)
    assert b"can't fork: Resource temporarily unavailable" in done.err
    stats = engine.client.get(f"/containers/{id_}/stats?stream=0&one-shot=1")
    assert stats["memory_stats"]["limit"] == 64 << 20
    assert stats["pids_stats"]["limit"] == 50


def test_a_user_namespace_is_handed_no_more_than_it_needs(engine: RunningEngine) -> None:
    id_ = boot(engine, Isolation="sandbox")
    own = engine.exec(id_, "find", "/sys/fs/cgroup", "-user", "root").out.decode().split()
    files = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads")
    assert sorted(own) == ["/sys/fs/cgroup", *(f"/sys/fs/cgroup/{file}" for file in files)]
    assert engine.exec(id_, "mkdir", "/sys/fs/cgroup/a").code == 0


def test_its_walls_are_those_of_the_profile_but_for_few(engine: RunningEngine) -> None:
    for isolation, moved in (("", set()), ("sandbox", {"root", "seccomp"})):
        id_ = boot(engine, Isolation=isolation)
        found = engine.client.get(f"/casemate/containers/{id_}/walls")["Walls"]
        assert not [wall for wall in found if wall["Holds"] is False]
        own = {wall["Name"] for wall in found if wall["From"] == "option --system"}
        assert own == {"effective capabilities", "bounding capabilities"} | moved
        names = next(w["Setting"] for w in found if w["Name"] == "bounding capabilities")
        assert len(names.split()) == 12 and "SYS_BOOT" in names.split()


def test_the_init_learns_whose_it_is(engine: RunningEngine) -> None:
    first, second = boot(engine), boot(engine, Env=["container=mine", "FIRST="])
    found = engine.exec(first, "cat", "/proc/1/environ").out.decode().split("\0")
    assert "container=casemate" in found
    uuid = next(e for e in found if e.startswith("container_uuid=")).partition("=")[2]
    assert uuid.replace("-", "") == first[:32]
    assert b"container=mine\0" in engine.exec(second, "cat", "/proc/1/environ").out


def test_a_paused_system_is_stopped(engine: RunningEngine) -> None:
    id_ = boot(engine)
    engine.client.post(f"/containers/{id_}/pause")
    assert status(engine, id_) == "paused"
    engine.client.post(f"/containers/{id_}/stop")
    assert engine.inspect(id_)["State"]["ExitCode"] == 130


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ({"SecurityOpt": ["system=upstart"]}, "invalid --system 'upstart': there is busybox, sys"),
        ({**SYSTEM, "Isolation": "process"}, "--system and a pid namespace that is not"),
        ({**SYSTEM, "PidMode": "host"}, "--system and a pid namespace that is not"),
        ({**SYSTEM, "CgroupnsMode": "host"}, "--system and a cgroup namespace that is not"),
        ({**SYSTEM, "Init": True}, "--system and --init"),
    ],
)
def test_what_contradicts_it_is_refused(
    engine: RunningEngine, host: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        engine.create("init", **host)


@pytest.mark.parametrize(
    ("name", "option"),
    [("casemate", "--system=busybox"), ("docker", "--security-opt=system=busybox")],
)
def test_it_can_be_asked_for_by_any_client(
    engine: RunningEngine, tmp_path: os.PathLike[str], name: str, option: str
) -> None:
    command = Command(name, engine.socket, str(tmp_path))
    command("run", "-d", "--name", "sys", option, "init")
    assert command("exec", "sys", "cat", "/proc/1/comm") == "init\n"
    assert command("inspect", "-f", "{{.HostConfig.SecurityOpt}}", "sys") == "[system=busybox]\n"
    command("stop", "sys")
    assert command("wait", "sys") == "130\n"


def test_the_part_that_is_handed_over_is_below_the_limits(engine: RunningEngine) -> None:
    id_ = boot(engine)
    with open(f"/proc/{engine.inspect(id_)['State']['Pid']}/cgroup", encoding="ascii") as file:
        unified = next(line for line in file if line.startswith("0::"))
    above, _, name = unified.strip().rpartition("/")
    assert name == NAME and len(os.path.basename(above)) == 32
