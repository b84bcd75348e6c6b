"""What containers change, run and use."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from casemate.errors import Conflict, Error, InvalidArgument, NotFound, Unavailable
from casemate.http.client import Client
from support.engine import PREFIX, RunningEngine, eventually

pytestmark = pytest.mark.root

SLEEP = ("sleep", "1000")
BUSY = "while :; do :; done"


def stats(engine: RunningEngine, id_: str, query: str = "stream=0&one-shot=1") -> dict[str, Any]:
    found: dict[str, Any] = engine.client.get(f"/containers/{id_}/stats?{query}")
    return found


@contextmanager
def followed(engine: RunningEngine, id_: str) -> Iterator[Iterator[dict[str, Any]]]:
    client = Client(f"unix://{engine.socket}", PREFIX)
    with client.request("GET", f"/containers/{id_}/stats") as reply:
        yield (json.loads(line) for line in reply.lines())
    client.close()


# Changes.


def changes(engine: RunningEngine, id_: str) -> dict[str, int]:
    found = engine.client.get(f"/containers/{id_}/changes") or []
    assert [c["Path"] for c in found] == sorted(c["Path"] for c in found)
    return {c["Path"]: c["Kind"] for c in found}


def test_changes_are_told_with_their_kinds(engine: RunningEngine, tmp_path: Path) -> None:
    id_ = engine.run_container(
        "busybox", *SLEEP, Binds=[f"{tmp_path}:/etc/bound"], Tmpfs={"/t": ""}
    )
    before = changes(engine, id_)
    assert set(before) <= {"/etc", "/etc/bound", "/t"}
    script = "echo x > /root/new; echo x >> /etc/group; rm /etc/passwd; rm -r /tmp; mkdir /tmp;"
    script += "touch /tmp/again /etc/bound/outside /t/outside; mv /bin/awk '/root/a b'"
    assert engine.exec(id_, "busybox", "sh", "-c", script).code == 0
    found = changes(engine, id_)
    for path in before:
        found.pop(path, None)
    assert found == {
        "/root": 0,
        "/root/new": 1,
        "/root/a b": 1,
        "/etc/group": 0,
        "/etc/passwd": 2,
        "/tmp": 0,
        "/tmp/again": 1,
        "/bin": 0,
        "/bin/awk": 2,
    }
    engine.client.post(f"/containers/{id_}/kill")
    engine.wait(id_)
    assert changes(engine, id_).items() >= found.items()


def test_a_container_that_changed_nothing_has_no_changes(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "true")
    assert engine.client.get(f"/containers/{id_}/changes") is None
    with pytest.raises(NotFound):
        engine.client.get("/containers/nope/changes")


# Processes.


def test_processes_are_the_containers_as_the_hosts_ps_shows_them(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "sleep 999 & sleep 998; true")
    other = engine.run_container("busybox", *SLEEP)
    assert engine.exec(id_, "true").code == 0  # execs leave none of the engine's own behind
    found = engine.client.get(f"/containers/{id_}/top")
    assert found["Titles"][:3] == ["UID", "PID", "PPID"] and found["Titles"][-1] == "CMD"
    assert sorted(p[-1] for p in found["Processes"]) == [
        *("sh -c sleep 999 & sleep 998; true", "sleep 998", "sleep 999"),
    ]
    pids = {int(p[1]) for p in found["Processes"]}
    assert engine.inspect(id_)["State"]["Pid"] in pids
    assert engine.inspect(other)["State"]["Pid"] not in pids
    chosen = engine.client.get(f"/containers/{id_}/top?ps_args=-o+pid,args")
    assert chosen["Titles"] == ["PID", "COMMAND"] and len(chosen["Processes"]) == 3
    # An option that does not go with a list of processes.
    assert len(engine.client.get(f"/containers/{id_}/top?ps_args=aux")["Processes"]) == 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("-o+cmd", "Couldn't find PID field in ps output"),
        ("-o+pid=PID1+-o+cmd=PID", 'specifying "cmd=PID" is not allowed'),
        ("--no-such", "ps: error: unknown gnu long option"),
    ],
)
def test_what_ps_cannot_do_is_said(engine: RunningEngine, arguments: str, reason: str) -> None:
    id_ = engine.run_container("busybox", *SLEEP)
    with pytest.raises(Error, match=reason):
        engine.client.get(f"/containers/{id_}/top?ps_args={arguments}")


def test_names_of_processes_decide_nothing(engine: RunningEngine) -> None:
    """Blanks, line breaks and numbers of others in a command line stay in its column."""
    victim = engine.run_container("busybox", *SLEEP)
    pid = engine.inspect(victim)["State"]["Pid"]
    fake = f"x\nroot {pid} 1 0 00:00 ? 00:00:00 fake"
    id_ = engine.run_container("busybox", "sh", "-c", "sleep 1000; true", fake)
    found = engine.client.get(f"/containers/{id_}/top")["Processes"]
    assert len(found) == 2 and str(pid) not in {process[1] for process in found}


def test_long_command_lines_are_bounded(engine: RunningEngine) -> None:
    """As long as a workload likes, in as many processes: told up to a limit, in bounded memory."""
    script = "for i in $(seq 250); do sh -c 'sleep 1000; :' x $1 & done; echo ready; wait"
    id_ = engine.run_container("busybox", "sh", "-c", script, "sh", "x" * 100_000)
    eventually(lambda: engine.output(id_)[0], lambda said: said == b"ready\n")
    before = engine.resident_kib()
    with pytest.raises(Unavailable, match="more than"):
        engine.client.get(f"/containers/{id_}/top")
    assert engine.resident_kib() - before < 60 << 10
    assert len(engine.client.get(f"/containers/{id_}/top?ps_args=-o+pid,comm")["Processes"]) > 250


def test_only_what_runs_has_processes(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "true")
    with pytest.raises(Conflict, match=f"container {id_} is not running"):
        engine.client.get(f"/containers/{id_}/top")


# Use.


def test_use_is_what_the_cgroup_counts(engine: RunningEngine) -> None:
    limit = 64 << 20
    script = f"head -c 20000000 /dev/zero > /tmp/x; {BUSY}"
    id_ = engine.run_container("busybox", "sh", "-c", script, Memory=limit, PidsLimit=50)
    began = time.monotonic_ns()
    found = stats(engine, id_, "stream=0")
    elapsed = time.monotonic_ns() - began
    assert found["id"] == id_ and found["name"] == engine.inspect(id_)["Name"]
    assert found["preread"] < found["read"]
    now, before = found["cpu_stats"], found["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    system = now["system_cpu_usage"] - before["system_cpu_usage"]
    assert now["online_cpus"] == os.cpu_count()
    assert 0 < used <= elapsed * 1.1
    # The time of all processors passes as the clock does, as many times as there are.
    assert 0.9e9 < system / now["online_cpus"] < 2.5e9
    memory = found["memory_stats"]
    assert memory["limit"] == limit and 0 < memory["usage"] <= limit
    assert {"inactive_file"} & set(memory["stats"])
    assert found["pids_stats"]["limit"] == 50 and found["pids_stats"]["current"] >= 1


def test_use_without_a_limit_is_of_the_machine(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", *SLEEP)
    total = engine.client.get("/info")["MemTotal"]
    assert stats(engine, id_)["memory_stats"]["limit"] == total
    assert stats(engine, id_)["storage_stats"] == {} and stats(engine, id_)["num_procs"] == 0


def test_traffic_is_counted_at_the_containers_own_interface(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", *SLEEP)
    gateway = engine.inspect(id_)["NetworkSettings"]["Gateway"]
    before = stats(engine, id_)["networks"]["eth0"]
    engine.exec(id_, "nc", "-w", "1", gateway, "1")  # refused
    after = eventually(
        lambda: stats(engine, id_)["networks"]["eth0"],
        lambda now: now["tx_bytes"] >= before["tx_bytes"] + 40,
    )
    assert after["tx_packets"] > before["tx_packets"] and after["rx_bytes"] > 0
    for mode in ("none", "host"):
        own = engine.run_container("busybox", *SLEEP, NetworkMode=mode)
        assert "networks" not in stats(engine, own)


def test_what_does_not_run_uses_nothing(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "true")
    for query in ("stream=0", "stream=0&one-shot=1"):
        found = stats(engine, id_, query)
        assert found["id"] == id_ and found["read"].startswith("0001-")
        assert found["memory_stats"] == {} and found["cpu_stats"]["cpu_usage"]["total_usage"] == 0
    with pytest.raises(NotFound):
        stats(engine, "nope")


def test_who_follows_sees_the_end_the_next_run_and_the_removal(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", *SLEEP)
    with followed(engine, id_) as told:
        first, second = next(told), next(told)
        assert first["precpu_stats"]["cpu_usage"]["total_usage"] == 0
        assert second["preread"] == first["read"]
        assert second["precpu_stats"] == first["cpu_stats"]
        engine.client.post(f"/containers/{id_}/kill")
        while next(told)["memory_stats"]:
            pass
        engine.start_container(id_)
        while not (again := next(told))["memory_stats"]:
            pass
        assert again["precpu_stats"]["cpu_usage"]["total_usage"] == 0  # counters began anew
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
        assert len(list(told)) <= 2


def test_many_who_follow_share_what_is_seen(engine: RunningEngine) -> None:
    """A container is looked at once a second, so all see the same samples."""
    id_ = engine.run_container("busybox", *SLEEP)
    seen: list[list[str]] = []

    def follow() -> None:
        with followed(engine, id_) as told:
            seen.append([next(told)["read"] for _ in range(3)])

    threads = [threading.Thread(target=follow) for _ in range(20)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == 20
    reads = {read for one in seen for read in one}
    assert len(reads) <= 2 + time.monotonic() - began
    # Who asks again and again is told what is known.
    assert len({stats(engine, id_)["read"] for _ in range(20)}) <= 3


def test_who_does_not_read_misses_samples_and_costs_nothing(own_engine: RunningEngine) -> None:
    id_ = own_engine.run_container("busybox", *SLEEP)
    own_engine.wait_for_rooms()
    before = own_engine.descriptors()
    for _ in range(50):
        with followed(own_engine, id_):
            pass
    eventually(own_engine.descriptors, lambda now: now <= before + 2)


def test_a_paused_container_is_seen(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", *SLEEP)
    engine.client.post(f"/containers/{id_}/pause")
    assert stats(engine, id_)["pids_stats"]["current"] >= 1
    assert engine.client.get(f"/containers/{id_}/top")["Processes"]
    engine.client.post(f"/containers/{id_}/unpause")


def test_wrong_words_are_refused(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", *SLEEP)
    with pytest.raises(InvalidArgument, match="stream"):
        stats(engine, id_, "stream=maybe")
