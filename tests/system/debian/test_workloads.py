"""Databases under limits and load: what stats say, what the cgroups say, and what the tool says.

The tools run in the host's network, as a program of the host would, and come through published
ports.
"""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from casemate.engine.times import time_of
from support.engine import RunningEngine, eventually

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

MIB = 1 << 20
SECOND = 1_000_000_000
#: So little that more is wanted in any period, however busy the machine is.
LITTLE = 0.1
A_LITTLE_CPU = {"NanoCpus": SECOND // 10}
#: With programs of the host, but for the image that they come from.
ON_THE_HOST = {"Isolation": "process"}
_BIN = "/usr/lib/postgresql/15/bin"
_SERVE = f"""cd /var/lib/postgresql/15/main
printf '%s all all trust\\n' local 'host all' > /tmp/hba
exec {_BIN}/postgres -D . -c config_file=/etc/postgresql/15/main/postgresql.conf \\
	-c hba_file=/tmp/hba -c listen_addresses='*' -c unix_socket_directories=/tmp \\
	-c shared_buffers=32MB -c ssl=off
"""


class Run(NamedTuple):
    """A load: what the tool said, how long it took, and stats before and after."""

    said: str
    elapsed_ns: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def used(self, *path: str) -> int:
        """Return how much a counter has grown."""
        return _at(self.after, path) - _at(self.before, path)


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> int:
    found: Any = document
    for name in path:
        found = found[name]
    assert isinstance(found, int)
    return found


def stats(engine: RunningEngine, id_: str) -> Mapping[str, Any]:
    """Return stats of now: those of the last second are given to all who ask in it."""
    since = time.time_ns()

    def look() -> Mapping[str, Any]:
        found: Mapping[str, Any] = engine.client.get(f"/containers/{id_}/stats?stream=0&one-shot=1")
        return found

    return eventually(look, lambda found: time_of(found["read"]) >= since)


def loaded(engine: RunningEngine, id_: str, *tool: str) -> Run:
    """Have ``tool`` at work on a container."""
    before, since = stats(engine, id_), time.monotonic_ns()
    said = engine.says("systemd", *tool, **ON_THE_HOST)
    return Run(said, time.monotonic_ns() - since, before, stats(engine, id_))


def port(engine: RunningEngine, id_: str, inside: str) -> str:
    (binding,) = engine.inspect(id_)["NetworkSettings"]["Ports"][inside]
    return str(binding["HostPort"])


def published(inside: str) -> dict[str, Any]:
    return {"PortBindings": {inside: [{"HostIp": "127.0.0.1", "HostPort": ""}]}}


def controls(engine: RunningEngine, id_: str) -> dict[str, int]:
    """Return what the control files say, by the names of stats; of either version."""
    pid = engine.inspect(id_)["State"]["Pid"]
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        places = [line.rstrip("\n").split(":") for line in file]
    paths = {name: path for _, names, path in places for name in names.split(",")}
    unified = "memory" not in paths
    wanted = (
        {"limit": ("", "memory.max"), "usage": ("", "memory.current"), "pids": ("", "pids.current")}
        if unified
        else {
            "limit": ("memory", "memory.limit_in_bytes"),
            "usage": ("memory", "memory.usage_in_bytes"),
            "pids": ("pids", "pids.current"),
        }
    )
    found = {}
    for name, (controller, control) in wanted.items():
        found[name] = int(_text(_mount_of(controller), paths[controller], control))
    if unified:
        micro = re.search(r"usage_usec ([0-9]+)", _text(_mount_of(""), paths[""], "cpu.stat"))
        assert micro
        return found | {"cpu": int(micro[1]) * 1000}
    return found | {"cpu": int(_text(_mount_of("cpuacct"), paths["cpuacct"], "cpuacct.usage"))}


def _mount_of(controller: str) -> str:
    with open("/proc/self/mounts", encoding="utf-8") as file:
        mounts = [line.split() for line in file]
    kind = "cgroup" if controller else "cgroup2"
    return next(
        m[1] for m in mounts if m[2] == kind and (not controller or controller in m[3].split(","))
    )


def _text(*parts: str) -> str:
    with open("/".join(parts), encoding="ascii") as file:
        return file.read()


def agree(engine: RunningEngine, id_: str) -> None:
    """Check that stats are between what the control files say before and after.

    A database does something now and then by itself; so it is looked at until it is quiet.
    """
    eventually(
        lambda: (controls(engine, id_), stats(engine, id_), controls(engine, id_)),
        lambda seen: _agrees(*seen),
    )


def _agrees(first: dict[str, int], told: Mapping[str, Any], last: dict[str, int]) -> bool:
    used, memory = told["cpu_stats"]["cpu_usage"]["total_usage"], told["memory_stats"]
    least, most = sorted((first["usage"], last["usage"]))
    return bool(
        first["cpu"] <= used <= last["cpu"]
        and memory["limit"] == first["limit"]
        and least - MIB <= memory["usage"] <= most + MIB
        and first["pids"] == told["pids_stats"]["current"] == last["pids"]
    )


def held_to(run: Run, share: float) -> None:
    """Check that no more than ``share`` of a processor was used, and that more was wanted."""
    used_ns = run.used("cpu_stats", "cpu_usage", "total_usage")
    # A period of 100 ms may have begun just before and end just after.
    assert 0 < used_ns <= share * (run.elapsed_ns + 0.2 * SECOND)
    assert run.used("cpu_stats", "throttling_data", "throttled_periods") > 0
    assert run.used("cpu_stats", "throttling_data", "throttled_time") > 0


def redis(engine: RunningEngine, *options: str, **host: Any) -> tuple[str, str]:
    """Start a server that keeps nothing on disk; return the container and its port."""
    command = ["redis-server", "--protected-mode", "no", "--save", "", *options]
    id_ = engine.run_container("systemd", *command, **published("6379/tcp"), **host)
    outside = port(engine, id_, "6379/tcp")
    eventually(lambda: engine.exec(id_, "redis-cli", "ping").out, lambda said: said == b"PONG\n")
    return id_, outside


def benchmark(outside: str, requests: int, size: int) -> list[str]:
    words = ["redis-benchmark", "-h", "127.0.0.1", "-p", outside, "--csv", "-t", "set,get"]
    return [*words, "-n", str(requests), "-d", str(size), "-c", "20", "-r", "100000"]


def info(engine: RunningEngine, id_: str) -> dict[str, str]:
    """Return what the server knows of itself."""
    said = engine.exec(id_, "redis-cli", "info", "all").out.decode()
    return dict(line.split(":", 1) for line in said.split("\r\n") if ":" in line)


def test_redis_uses_no_more_than_its_share_of_a_processor(debian: RunningEngine) -> None:
    id_, outside = redis(debian, **A_LITTLE_CPU, Memory=128 * MIB)
    requests, size = 6_000, 1000
    run = loaded(debian, id_, *benchmark(outside, requests, size))
    rates = {row["test"]: float(row["rps"]) for row in csv.DictReader(run.said.splitlines())}
    held_to(run, LITTLE)
    # The tool and we have measured the same time.
    assert sum(requests / rate for rate in rates.values()) * SECOND <= run.elapsed_ns
    # What was sent arrived: each value once in, and what was read of those that were there.
    volume = requests * size
    received, sent = (run.used("networks", "eth0", f"{way}_bytes") for way in ("rx", "tx"))
    assert volume < received < 1.5 * volume
    assert sent < 1.5 * volume
    known = info(debian, id_)
    assert known["cmdstat_set"].startswith(f"calls={requests},")
    assert known["cmdstat_get"].startswith(f"calls={requests},")
    # The server's own account of its time is that of the cgroup, but for its start and ours.
    own_ns = sum(float(known[f"used_cpu_{kind}"]) for kind in ("user", "sys")) * SECOND
    total_ns = stats(debian, id_)["cpu_stats"]["cpu_usage"]["total_usage"]
    assert 0.9 * own_ns <= total_ns <= own_ns + SECOND
    agree(debian, id_)


def test_redis_fills_its_memory_and_stays_within(debian: RunningEngine) -> None:
    limit = 48 * MIB
    options = ("--maxmemory", "32mb", "--maxmemory-policy", "allkeys-lru")
    id_, outside = redis(debian, *options, Memory=limit)
    run = loaded(debian, id_, *benchmark(outside, 15_000, 4000))
    memory = run.after["memory_stats"]
    assert memory["usage"] <= limit == memory["limit"]
    assert memory.get("max_usage", 0) <= limit
    known = info(debian, id_)
    assert int(known["evicted_keys"]) > 0
    # What it has allocated, it has written: it is memory of the cgroup.
    assert 30 * MIB < int(known["used_memory"]) <= memory["usage"]
    assert not debian.inspect(id_)["State"]["OOMKilled"]
    agree(debian, id_)


def test_redis_beyond_its_memory_is_killed_and_reported(debian: RunningEngine) -> None:
    id_, outside = redis(debian, Memory=24 * MIB, MemorySwap=24 * MIB)
    tool = benchmark(outside, 30_000, 4000)
    attempt = debian.run_container("systemd", *tool, **ON_THE_HOST)
    assert debian.wait(id_) == 137
    assert debian.inspect(id_)["State"]["OOMKilled"]
    debian.wait(attempt)


def test_postgres_under_a_limit_of_time_and_memory(debian: RunningEngine) -> None:
    limit = 160 * MIB
    id_ = debian.run_container(
        "systemd", "sh", "-c", _SERVE, User="postgres", Memory=limit, **published("5432/tcp")
    )
    where = ["-h", "127.0.0.1", "-p", port(debian, id_, "5432/tcp"), "-U", "postgres"]
    ask = ["pg_isready", "-h", "127.0.0.1"]
    eventually(lambda: debian.exec(id_, *ask).code, lambda code: code == 0)
    pgbench = [f"{_BIN}/pgbench", *where]
    debian.says("systemd", *pgbench, "-i", "-q", "-s", "2", "postgres", **ON_THE_HOST)
    debian.client.post(f"/containers/{id_}/update", A_LITTLE_CPU)
    run = loaded(debian, id_, *pgbench, "-c", "4", "-j", "2", "-T", "4", "postgres")
    found = re.search(r"transactions actually processed: ([0-9]+)", run.said)
    done = int(found[1]) if found else 0
    assert done > 0, run.said
    held_to(run, LITTLE)
    # Each transaction is seven statements, none of them shorter than this, each with an answer.
    received, sent = (run.used("networks", "eth0", f"{way}_bytes") for way in ("rx", "tx"))
    assert received > done * 7 * 40 and sent > done * 7 * 40
    assert run.used("networks", "eth0", "rx_packets") >= done * 7
    assert 0 < run.after["memory_stats"]["usage"] <= limit
    count = ["psql", "-h", "/tmp", "-U", "postgres", "-Atc", "select count(*) from pgbench_history"]
    assert debian.exec(id_, *count).out == f"{done}\n".encode()
    agree(debian, id_)
    debian.client.post(f"/containers/{id_}/stop?signal=INT")
    assert debian.inspect(id_)["State"]["ExitCode"] == 0
