"""Containers from their creation to their removal."""

from __future__ import annotations

import os
import signal

import pytest

from casemate.errors import Conflict, InvalidArgument, NotFound
from casemate.http.client import Client
from support.engine import PREFIX, RunningEngine

pytestmark = pytest.mark.root


def test_output_and_exit_code_are_those_of_the_program(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert engine.wait(id_) == 7
    assert engine.output(id_) == (b"out\n", b"err\n")
    state = engine.inspect(id_)["State"]
    assert (state["Status"], state["ExitCode"], state["Pid"]) == ("exited", 7, 0)


def test_a_signal_is_128_and_its_number(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "kill -9 $$; sleep 100")
    # A process that is PID 1 of its namespace cannot kill itself: the engine does.
    engine.client.post(f"/containers/{id_}/kill?signal=KILL")
    assert engine.wait(id_) == 137


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        ("nope", 127, 'exec: "nope": executable file not found in $PATH'),
        ("/nope", 127, "no such file or directory"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "permission denied"),
    ],
)
def test_what_cannot_be_executed_is_told(
    engine: RunningEngine, command: str, code: int, reason: str
) -> None:
    id_ = engine.create("busybox", command)
    with pytest.raises(InvalidArgument) as caught:
        engine.start_container(id_)
    assert reason in caught.value.message
    state = engine.inspect(id_)["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", code)
    assert reason in state["Error"]


def test_it_sees_its_own_namespaces_only(engine: RunningEngine) -> None:
    script = (
        "echo $$; hostname; ls /proc | grep -c '^[0-9]';"
        " for n in /proc/self/ns/*; do readlink $n; done"
    )
    lines = engine.says("busybox", "sh", "-c", script).split("\n")
    assert lines[0] == "1"
    assert len(lines[1]) == 12
    assert int(lines[2]) < 5
    ours = {os.readlink(f"/proc/self/ns/{n}") for n in os.listdir("/proc/self/ns")}
    shared = ours & set(lines[3:])
    assert all(link.startswith("user:") for link in shared)


def test_stop_asks_first_and_kills_when_the_time_is_over(engine: RunningEngine) -> None:
    polite = engine.run_container(
        "busybox", "sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"
    )
    deaf = engine.run_container("busybox", "sleep", "1000")
    engine.client.post(f"/containers/{polite}/stop?t=30")
    engine.client.post(f"/containers/{deaf}/stop?t=0")
    assert engine.wait(polite) == 3
    assert engine.wait(deaf) == 137


def test_a_stopped_container_starts_again_with_what_it_wrote(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "echo x >> /count; wc -l < /count")
    engine.wait(id_)
    engine.start_container(id_)
    engine.wait(id_)
    assert engine.output(id_)[0] == b"1\n2\n"


def test_removal_needs_force_while_it_runs(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000")
    pid = engine.inspect(id_)["State"]["Pid"]
    with pytest.raises(Conflict, match="container is running"):
        engine.client.call("DELETE", f"/containers/{id_}")
    engine.client.call("DELETE", f"/containers/{id_}?force=1")
    with pytest.raises(NotFound):
        engine.inspect(id_)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not os.path.exists(f"{engine.root}/containers/{id_}")
    assert not os.path.exists(f"{engine.root}/snapshots/{id_}")


def test_auto_remove_leaves_nothing(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "true", AutoRemove=True)
    other = Client(f"unix://{engine.socket}", PREFIX)
    waiting = other.request("POST", f"/containers/{id_}/wait?condition=removed")
    engine.start_container(id_)
    with waiting:
        assert b'"StatusCode":0' in waiting.read()
    other.close()
    with pytest.raises(NotFound):
        engine.inspect(id_)


def test_names_are_unique_and_checked(engine: RunningEngine) -> None:
    first = engine.create("busybox", name="one")
    with pytest.raises(Conflict, match="already in use"):
        engine.create("busybox", name="one")
    with pytest.raises(InvalidArgument, match="invalid container name"):
        engine.create("busybox", name="-bad")
    assert engine.inspect("one")["Id"] == first
    assert engine.inspect(first[:12])["Id"] == first


def test_limits_hold(engine: RunningEngine) -> None:
    id_ = engine.run_container(
        "busybox",
        "sh",
        "-c",
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null;"
        " for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; true",
        Memory=64 << 20,
        PidsLimit=6,
    )
    engine.wait(id_)
    out, err = engine.output(id_)
    assert out.strip() == str(64 << 20).encode()
    assert b"fork" in err


def test_a_workload_that_takes_too_much_memory_is_killed_and_said_so(
    engine: RunningEngine,
) -> None:
    id_ = engine.run_container(
        "busybox", "sh", "-c", "dd if=/dev/zero of=/dev/null bs=100M count=1", Memory=16 << 20
    )
    assert engine.wait(id_) in (1, 137)
    assert engine.inspect(id_)["State"]["OOMKilled"]


def test_the_first_process_gets_signals(engine: RunningEngine) -> None:
    script = "trap 'echo got; exit 0' USR1; echo ready; while :; do sleep 0.05; done"
    id_ = engine.run_container("busybox", "sh", "-c", script)
    with engine.client.request("GET", f"/containers/{id_}/logs?stdout=1&follow=1") as reply:
        assert b"ready" in next(reply.chunks())
    number = signal.SIGUSR1
    engine.client.post(f"/containers/{id_}/kill?signal={number}")
    assert engine.wait(id_) == 0
    assert engine.output(id_)[0] == b"ready\ngot\n"
