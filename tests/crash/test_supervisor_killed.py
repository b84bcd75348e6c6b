"""A container whose supervisor dies ends with it, says so, and can be removed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from casemate.errors import Error, NotFound
from casemate.http.client import Client
from casemate.linux.cgroups import cgroup as cgroups
from casemate.linux.cgroups import layout
from casemate.linux.cgroups.hierarchies import Hierarchies
from support.engine import PREFIX, RunningEngine, busybox_tar, eventually
from support.engines import Start
from support.lives import actions, reaches, restarts
from support.streams import attach, start_exec
from support.traces import supervisors, traces

pytestmark = pytest.mark.root

REASON = "the container's supervisor was killed"


def is_dead(pid: int) -> bool:
    """Whether a process is gone, or waits only for whoever shall bury it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_it_is_reported_with_the_reason_and_everything_is_given_back(
    own_engine: RunningEngine,
) -> None:
    engine = own_engine
    name = engine.client.get("/info")["ID"]
    id_ = engine.run_container(
        "busybox", "sh", "-c", "echo said; sleep 1000",
        PortBindings={"80/tcp": [{"HostIp": "127.0.0.1"}]},
    )  # fmt: skip
    before = engine.inspect(id_)
    port = int(before["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])
    eventually(lambda: engine.output(id_)[0], lambda said: said == b"said\n")
    os.kill(engine.supervisor(id_), signal.SIGKILL)
    assert engine.wait(id_) == 137
    state = engine.inspect(id_)["State"]
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("dead", 137, REASON)
    assert not state["Running"] and state["Pid"] == 0
    eventually(lambda: is_dead(before["State"]["Pid"]), bool)
    assert engine.output(id_)[0] == b"said\n"

    def is_free() -> bool:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return True
        return False

    eventually(is_free, bool)
    assert engine.fsck() == []
    engine.client.call("DELETE", f"/containers/{id_}")
    engine.stop()
    eventually(
        lambda: {k: v for k, v in traces(engine, name).items() if k != "mounts"},
        lambda found: not found,
    )


def test_clients_and_execs_end_with_it(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000")
    exec_id = engine.create_exec(id_, "sh", "-c", "echo ready; sleep 1000")
    running = start_exec(engine.client, exec_id)
    running.until(b"ready\n")
    watching = attach(engine.client, id_)
    os.kill(engine.supervisor(id_), signal.SIGKILL)
    assert engine.wait(id_) == 137
    for streams in (running, watching):
        with contextlib.suppress(ConnectionResetError):
            streams.rest()
        streams.close()
    assert engine.client.get(f"/exec/{exec_id}/json")["ExitCode"] == 137


def test_one_that_shall_vanish_vanishes(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000", AutoRemove=True)
    os.kill(engine.supervisor(id_), signal.SIGKILL)
    eventually(lambda: engine.client.get("/containers/json?all=1"), lambda found: not found)
    assert id_ not in os.listdir(f"{engine.root}/containers")


def test_a_restart_policy_starts_it_again(engine: RunningEngine) -> None:
    policies = {"always": "running", "on-failure": "running", "unless-stopped": "running"}
    ids = {
        name: engine.run_container("busybox", "sleep", "1000", RestartPolicy={"Name": name})
        for name in policies
    }
    for name, id_ in ids.items():
        os.kill(engine.supervisor(id_), signal.SIGKILL)
        restarts(engine, id_, 1)
        reaches(engine, id_, policies[name])
        state = engine.inspect(id_)["State"]
        assert (state["Error"], state["ExitCode"]) == ("", 0)
        assert engine.exec(id_, "echo", "x").out == b"x\n"


def test_somebody_who_stopped_it_has_stopped_it(engine: RunningEngine) -> None:
    """Killed while a stop waits: no policy brings it back."""
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    policy = {"Name": "always"}
    id_ = engine.run_container("busybox", "sh", "-c", script, RestartPolicy=policy)
    eventually(lambda: engine.output(id_)[0], bool)
    with ThreadPoolExecutor(1) as pool:
        before = time.time_ns()
        stopping = pool.submit(stop, engine, id_)
        eventually(lambda: actions(engine, before), lambda found: "kill" in found)
        os.kill(engine.supervisor(id_), signal.SIGKILL)
        stopping.result(30)
    assert engine.inspect(id_)["State"]["Status"] == "dead"


def stop(engine: RunningEngine, id_: str) -> None:
    """Stop a container by a connection of its own, and never kill it."""
    client = Client(f"unix://{engine.socket}", PREFIX)
    client.post(f"/containers/{id_}/stop?t=-1")
    client.close()


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("pids", ["", "host"])
def test_nothing_of_it_lives_on(engine: RunningEngine, pids: str, paused: bool) -> None:
    """Not what has left its session, nor an exec, nor what shares the host's process ids."""
    script = "setsid sleep 1001 & (sleep 1002 &) ; echo said; sleep 1000"
    id_ = engine.run_container("busybox", "sh", "-c", script, PidMode=pids)
    eventually(lambda: engine.output(id_)[0], bool)
    exec_id = engine.create_exec(id_, "sleep", "1003")
    start_exec(engine.client, exec_id).close()
    path = engine.inspect(id_)["Cgroup"]
    living = eventually(lambda: members(path), lambda found: len(found) >= 5)
    if paused:
        engine.client.post(f"/containers/{id_}/pause")
    os.kill(engine.supervisor(id_), signal.SIGKILL)
    assert engine.wait(id_) == 137
    assert engine.inspect(id_)["State"]["Status"] == "dead"
    eventually(lambda: [pid for pid in living if not is_dead(pid)], lambda found: not found)
    eventually(lambda: members(path), lambda found: not found)
    engine.client.call("DELETE", f"/containers/{id_}")


def members(path: str) -> list[int]:
    """Return the processes of a cgroup."""
    hierarchies = Hierarchies(layout.detect())
    try:
        return cgroups.at(hierarchies, path).pids()
    except NotFound:
        return []
    finally:
        hierarchies.close()


def test_killed_in_the_middle_of_a_start(start_engine: Start) -> None:
    """The start says so, and the next one succeeds."""
    engine = start_engine("--warm-rooms", "0")
    engine.import_image(busybox_tar(), "busybox")
    failed = 0
    for number in range(20):
        id_ = engine.create("busybox", "sleep", "1000")
        with ThreadPoolExecutor(1) as pool:
            starting = pool.submit(start, engine, id_)
            found = supervisors(engine.root)
            while not starting.done() and len(found) <= number % 2:
                found = supervisors(engine.root)
            for one in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(one.split()[0]), signal.SIGKILL)
            error = starting.result()
        if error:
            failed += 1
            assert "internal error" not in error.message, error
            assert engine.inspect(id_)["State"]["Error"] == error.message
            engine.start_container(id_)
            assert engine.exec(id_, "echo", "x").out == b"x\n"
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
    assert failed
    assert engine.fsck() == []


def start(engine: RunningEngine, id_: str) -> Error | None:
    """Start a container by a connection of its own; return what was wrong."""
    client = Client(f"unix://{engine.socket}", PREFIX)
    try:
        client.post(f"/containers/{id_}/start")
    except Error as error:
        return error
    finally:
        client.close()
    return None


def test_engine_and_supervisor_killed_together(own_engine: RunningEngine) -> None:
    engine = own_engine
    ids = [engine.run_container("busybox", "sleep", "1000") for _ in range(3)]
    dying = engine.supervisor(ids[0])
    workload = engine.inspect(ids[0])["State"]["Pid"]
    pidfd = os.pidfd_open(workload)
    engine.kill()
    os.kill(dying, signal.SIGKILL)
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    engine.start()
    states = [engine.inspect(i)["State"] for i in ids]
    assert [s["Status"] for s in states] == ["dead", "running", "running"]
    assert states[0]["Error"] == REASON
    assert engine.fsck() == []


def test_without_its_nursery_an_exec_still_runs(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000")
    assert engine.exec(id_, "echo", "1").out == b"1\n"
    shim = engine.supervisor(id_)
    with open(f"/proc/{shim}/task/{shim}/children", encoding="ascii") as file:
        children = [int(pid) for pid in file.read().split()]
    workload = engine.inspect(id_)["State"]["Pid"]
    for pid in children:
        if pid != workload:
            os.kill(pid, signal.SIGKILL)
    assert engine.exec(id_, "echo", "2").out == b"2\n"
    assert engine.inspect(id_)["State"]["Running"]


def test_after_the_machine_was_restarted_containers_have_ended_and_start_again(
    own_engine: RunningEngine,
) -> None:
    """Everything but the disk is gone; simulated by what a new start of the machine leaves."""
    engine = own_engine
    id_ = engine.run_container("busybox", "sh", "-c", "echo x >> /count; cat /count; sleep 1000")
    eventually(lambda: engine.output(id_)[0], lambda said: said == b"x\n")
    shim = engine.supervisor(id_)
    pidfd = os.pidfd_open(engine.inspect(id_)["State"]["Pid"])
    engine.kill()
    os.kill(shim, signal.SIGKILL)
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    with open(f"{engine.root}/boot", "w", encoding="ascii") as file:
        file.write("another-start-of-the-machine\n")
    engine.start()
    state = engine.inspect(id_)["State"]
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("exited", 255, "")
    engine.start_container(id_)
    eventually(lambda: engine.output(id_)[0], lambda said: said == b"x\nx\nx\n")
