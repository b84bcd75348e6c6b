"""Many containers at once: they all run, they are all followed, and nothing of them is left."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from casemate.http.client import Client
from support.engine import PREFIX, RunningEngine, demultiplexed, eventually, hierarchies
from support.following import Following, Stream

pytestmark = pytest.mark.root

AT_A_TIME = 8
FOLLOWED = 200
LINES = 150
#: Says a third of its lines at once and the others when it is let on; opening a pipe waits for
#: somebody at its other end.
SAYS = f"""
say() {{ while [ $i -lt $1 ]; do echo "line $i of $HOSTNAME"; i=$((i+1)); done; }}
i=0; say {LINES // 3}; : < /go/1; say {LINES * 2 // 3}; : < /go/2; say {LINES}; exit 3
"""

T, R = TypeVar("T"), TypeVar("R")


def at_once(engine: RunningEngine, work: Callable[[Client, T], R], jobs: Iterable[T]) -> list[R]:
    """Do ``work`` for all ``jobs``, some at a time, each with a client of its own."""

    def do(job: T) -> R:
        client = Client(f"unix://{engine.socket}", PREFIX)
        try:
            return work(client, job)
        finally:
            client.close()

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(do, jobs))


def run(client: Client, body: dict[str, Any]) -> str:
    id_: str = client.post("/containers/create", body)["Id"]
    client.post(f"/containers/{id_}/start")
    return id_


def end(client: Client, id_: str) -> None:
    client.post(f"/containers/{id_}/stop?t=0")


def remove(client: Client, id_: str) -> None:
    client.call("DELETE", f"/containers/{id_}?force=1")


def cgroups(engine: RunningEngine) -> int:
    """Return how many cgroups the engine has below its own, in all hierarchies together."""
    name = engine.client.get("/info")["ID"]
    tops = [f"{top}/{name}" for top in hierarchies() if os.path.isdir(f"{top}/{name}")]
    return sum(os.path.isdir(f"{top}/{entry}") for top in tops for entry in os.listdir(top))


def settle(engine: RunningEngine) -> None:
    """Wait until what the engine does behind everybody's back is done."""
    engine.wait_for_rooms()
    eventually(lambda: os.listdir(f"{engine.root}/trash"), lambda names: not names)


def holds(engine: RunningEngine) -> tuple[int, int]:
    settle(engine)
    return cgroups(engine), engine.descriptors()


def ports(engine: RunningEngine) -> list[str]:
    """Return the interfaces in the engine's own bridge."""
    bridge = f"{engine.client.get('/info')['ID']}0"[:15]
    with suppress(FileNotFoundError):
        return os.listdir(f"/sys/class/net/{bridge}/brif")
    return []


@pytest.mark.parametrize("network", ["none", "bridge"])
def test_a_hundred_containers_run_and_leave_nothing(
    own_engine: RunningEngine, network: str
) -> None:
    engine, count = own_engine, 100
    engine.says("busybox", "true", NetworkMode=network)  # what is made once is there
    before = holds(engine)
    body = {
        "Image": "busybox",
        "Cmd": ["sleep", "1000"],
        "HostConfig": {"NetworkMode": network},
    }
    ids = at_once(engine, run, [body] * count)
    running = engine.client.get("/containers/json")
    assert {c["Id"] for c in running} == set(ids) and len(ids) == count
    if network == "bridge":
        addresses = {c["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] for c in running}
        assert len(addresses) == len(ports(engine)) == count
    assert engine.fsck() == []
    at_once(engine, end, ids)
    codes = Counter(engine.inspect(id_)["State"]["ExitCode"] for id_ in ids)
    assert codes == {137: count}
    at_once(engine, remove, ids)
    assert engine.client.get("/containers/json?all=1") == []
    eventually(lambda: holds(engine), lambda now: now == before)
    eventually(lambda: ports(engine), lambda left: not left)
    for part in ("containers", "snapshots", "trash"):
        names = {n for n in os.listdir(f"{engine.root}/{part}") if not n.startswith(".")}
        assert not names, part
    assert engine.fsck() == []


# Followers.


@contextmanager
def gates(place: Path) -> Iterator[list[Callable[[], None]]]:
    """Give what opens each of two pipes in ``place``."""
    with ExitStack() as opened:

        def opener(path: Path) -> Callable[[], None]:
            def open_() -> None:
                opened.callback(os.close, os.open(path, os.O_RDWR))

            return open_

        found = []
        for name in ("1", "2"):
            os.mkfifo(place / name)
            found.append(opener(place / name))
        yield found


def said(stream: Stream) -> list[str]:
    """Return the lines that came by the log of a container."""
    return demultiplexed(stream.body)[0].decode().splitlines()


def lines(id_: str, count: int) -> list[str]:
    return [f"line {n} of {id_[:12]}" for n in range(count)]


def test_followers_of_many_containers_miss_nothing(own_engine: RunningEngine, disk: Path) -> None:
    engine = own_engine
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", SAYS],
        "HostConfig": {"NetworkMode": "none", "Binds": [f"{disk}:/go"]},
    }
    with Following(engine) as following:  # what is made once is there
        id_ = engine.run_container("busybox", "true")
        log = following.follow(f"/containers/{id_}/logs?stdout=1&follow=1")
        eventually(lambda: log.ended, bool)
    remove(engine.client, id_)
    before, resident = holds(engine), engine.resident_kib()
    with gates(disk) as (first, second), Following(engine) as following:
        events = following.follow("/events")
        ids = at_once(engine, run, [body] * FOLLOWED)
        logs = {
            id_: following.follow(f"/containers/{id_}/logs?stdout=1&stderr=1&follow=1")
            for id_ in ids
        }
        stats = {id_: following.follow(f"/containers/{id_}/stats") for id_ in ids}
        eventually(
            lambda: sum(s.body.count(b"\n") >= 2 for s in stats.values()),
            lambda enough: enough == FOLLOWED,
        )
        for open_, part in ((first, LINES * 2 // 3), (second, LINES)):
            open_()
            last = f"line {part - 1} of".encode()
            eventually(
                lambda: sum(last in log.body for log in logs.values()),  # noqa: B023
                lambda enough: enough == FOLLOWED,
            )
        grown = engine.resident_kib() - resident
        eventually(lambda: sum(s.ended for s in logs.values()), lambda n: n == FOLLOWED)
        at_once(engine, remove, ids)
        eventually(lambda: sum(s.ended for s in stats.values()), lambda n: n == FOLLOWED)
        eventually(lambda: events.body.count(b'"Action":"destroy"'), lambda n: n == FOLLOWED)
    assert {i: said(s) for i, s in logs.items()} == {i: lines(i, LINES) for i in ids}
    told = [json.loads(line) for line in events.body.splitlines()]
    assert [e["timeNano"] for e in told] == sorted(e["timeNano"] for e in told)
    for id_ in ids:
        own = [e["Action"] for e in told if e["Actor"]["ID"] == id_]
        assert own == ["create", "start", "die", "destroy"]
    assert grown < 32 << 10, f"{grown} KiB more"
    eventually(lambda: holds(engine), lambda now: now == before)
