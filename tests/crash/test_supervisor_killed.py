"""A container whose supervisor dies ends with it, says so, and can be removed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket

import pytest

from support.engine import RunningEngine, eventually
from support.streams import attach, start_exec
from support.traces import traces

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
