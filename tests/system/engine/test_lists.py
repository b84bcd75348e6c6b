"""Lists of containers, waiting, signals, removal in numbers, events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from casemate.errors import Conflict, InvalidArgument, NotFound
from casemate.http.client import Client
from support.engine import PREFIX, RunningEngine

pytestmark = pytest.mark.root


def names(engine: RunningEngine, query: str = "all=1", **filters: list[str]) -> list[str]:
    path = f"/containers/json?{query}&filters={quote(json.dumps(filters))}"
    return [container["Names"][0].removeprefix("/") for container in engine.client.get(path)]


@pytest.fixture
def some(engine: RunningEngine) -> Iterator[RunningEngine]:
    """Three containers: one that runs, one that has ended with 3, one that never ran."""
    labels = {"tier": "front", "odd": ""}
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "Labels": labels}
    body["ExposedPorts"] = {"80/tcp": {}}
    body["HostConfig"] = {"PortBindings": {"80/tcp": [{"HostPort": "0"}]}, "Binds": ["/tmp:/data"]}
    engine.client.post("/containers/create?name=running", body)
    engine.start_container("running")
    engine.run_container("busybox", "sh", "-c", "exit 3", name="ended")
    engine.wait("ended")
    engine.create("busybox", "true", name="never")
    yield engine


def test_only_what_runs_unless_asked(some: RunningEngine) -> None:
    assert names(some, "") == ["running"]
    assert names(some) == ["never", "ended", "running"]
    assert names(some, "limit=2") == ["never", "ended"]


def test_filters(some: RunningEngine) -> None:
    running = some.inspect("running")
    port = running["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
    cases: list[tuple[dict[str, list[str]], list[str]]] = [
        ({"status": ["exited", "created"]}, ["never", "ended"]),
        ({"exited": ["3"]}, ["ended"]),
        ({"exited": ["0"]}, []),
        ({"name": ["run"]}, ["running"]),
        ({"name": ["^/ended$"]}, ["ended"]),
        ({"name": ["^n", "^e"]}, ["never", "ended"]),
        ({"id": [running["Id"][:8]]}, ["running"]),
        ({"label": ["tier"]}, ["running"]),
        ({"label": ["tier=front", "odd"]}, ["running"]),
        ({"label": ["tier=back"]}, []),
        ({"ancestor": ["busybox"]}, ["never", "ended", "running"]),
        ({"ancestor": ["nope"]}, []),
        ({"before": ["never"]}, ["ended", "running"]),
        ({"since": ["running"]}, ["never", "ended"]),
        ({"publish": [port]}, ["running"]),
        ({"publish": [f"{port}/udp"]}, []),
        ({"expose": ["80"]}, ["running"]),
        ({"volume": ["/data"]}, ["running"]),
        ({"network": ["bridge"]}, ["never", "ended", "running"]),
        ({"network": ["host"]}, []),
        ({"health": ["none"]}, ["never", "ended", "running"]),
        ({"is-task": ["true"]}, []),
    ]
    for filters, expected in cases:
        assert names(some, **filters) == expected, filters


@pytest.mark.parametrize(
    "filters",
    [
        {"nope": ["x"]},
        {"status": ["nope"]},
        {"exited": ["x"]},
        {"name": ["("]},
        {"name": ["a" * 2000]},
    ],
)
def test_filters_that_are_none_are_refused(
    engine: RunningEngine, filters: dict[str, list[str]]
) -> None:
    with pytest.raises(InvalidArgument, match="filter"):
        names(engine, **filters)


@pytest.mark.parametrize("filters", ["{", "5", '{"name": 5}', '{"name": {"a": 1}}', "[" * 100_000])
def test_filters_that_are_no_filters_are_refused(engine: RunningEngine, filters: str) -> None:
    with pytest.raises(InvalidArgument):
        engine.client.get(f"/containers/json?filters={quote(filters)[:50000]}")


def test_the_older_form_of_filters_is_understood(some: RunningEngine) -> None:
    older = quote(json.dumps({"status": {"exited": True, "created": False}}))
    found = some.client.get(f"/containers/json?all=1&filters={older}")
    assert [c["Names"] for c in found] == [["/ended"]]


def test_a_line_tells_the_essentials(some: RunningEngine) -> None:
    lines = {c["Names"][0]: c for c in some.client.get("/containers/json?all=1&size=1")}
    running = lines["/running"]
    assert (running["State"], running["Image"], running["Command"]) == (
        *("running", "busybox", "sleep 1000"),
    )
    assert running["Status"].startswith("Up ")
    assert {p["PrivatePort"] for p in running["Ports"]} == {80}
    assert running["SizeRw"] >= 0 and running["SizeRootFs"] > 1 << 20
    assert lines["/ended"]["Status"].startswith("Exited (3) ")
    assert lines["/never"]["Status"] == "Created"


def test_a_beginning_of_an_id_is_enough_when_only_one_has_it(some: RunningEngine) -> None:
    id_ = some.inspect("ended")["Id"]
    assert some.inspect(id_[:12])["Name"] == "/ended"
    with pytest.raises(NotFound):
        some.inspect("f" * 64)


def test_prune_removes_what_has_ended(some: RunningEngine) -> None:
    some.run_container("busybox", "sh", "-c", "head -c 100000 /dev/zero > /x", name="big")
    some.wait("big")
    nothing = quote(json.dumps({"until": ["10m"]}))
    assert some.client.post(f"/containers/prune?filters={nothing}")["ContainersDeleted"] is None
    pruned = some.client.post("/containers/prune")
    assert len(pruned["ContainersDeleted"]) == 3
    assert pruned["SpaceReclaimed"] >= 100_000
    assert names(some) == ["running"]
    with pytest.raises(InvalidArgument, match="invalid filter"):
        some.client.post(f"/containers/prune?filters={quote(json.dumps({'name': ['x']}))}")


# ---- waiting ----


def waiting(engine: RunningEngine, id_: str, condition: str) -> tuple[Client, Any]:
    client = Client(f"unix://{engine.socket}", PREFIX)
    return client, client.request("POST", f"/containers/{id_}/wait?condition={condition}")


def test_waiting_for_what_has_ended_is_no_waiting(some: RunningEngine) -> None:
    assert some.wait("ended") == 3
    assert some.wait("never") == 0


def test_waiting_for_the_next_end(some: RunningEngine) -> None:
    client, reply = waiting(some, "ended", "next-exit")
    some.start_container("ended")
    with reply:
        assert json.loads(reply.read())["StatusCode"] == 3
    client.close()


def test_waiting_for_the_removal(some: RunningEngine) -> None:
    client, reply = waiting(some, "ended", "removed")
    some.client.call("DELETE", "/containers/ended")
    with reply:
        assert json.loads(reply.read())["StatusCode"] == 3
    client.close()


def test_many_wait_for_the_same_end(some: RunningEngine) -> None:
    replies = [waiting(some, "running", "not-running") for _ in range(10)]
    some.client.post("/containers/running/kill?signal=TERM")
    some.client.post("/containers/running/kill")
    for client, reply in replies:
        with reply:
            assert json.loads(reply.read())["StatusCode"] == 137
        client.close()


def test_a_condition_that_is_none_is_refused(some: RunningEngine) -> None:
    with pytest.raises(InvalidArgument, match="invalid condition"):
        some.client.post("/containers/running/wait?condition=nope")


# ---- signals ----


def test_what_does_not_run_cannot_be_killed(some: RunningEngine) -> None:
    for name in ("ended", "never"):
        with pytest.raises(Conflict, match="is not running"):
            some.client.post(f"/containers/{name}/kill")
    with pytest.raises(InvalidArgument, match="Invalid signal"):
        some.client.post("/containers/running/kill?signal=NOPE")
    assert some.inspect("running")["State"]["Running"]


def test_stopping_what_has_stopped_is_no_error(some: RunningEngine) -> None:
    with some.client.request("POST", "/containers/ended/stop") as reply:
        assert reply.status == 304
    with some.client.request("POST", "/containers/running/start") as reply:
        assert reply.status == 304


def test_the_stop_signal_of_the_container_is_used(engine: RunningEngine) -> None:
    script = "trap 'exit 21' USR2; echo ready; while :; do sleep 0.02; done"
    body = {"Image": "busybox", "Cmd": ["sh", "-c", script], "StopSignal": "SIGUSR2"}
    id_ = engine.client.post("/containers/create", body | {"StopTimeout": 30})["Id"]
    engine.start_container(id_)
    with engine.client.request("GET", f"/containers/{id_}/logs?stdout=1&follow=1") as reply:
        next(reply.chunks())
    engine.client.post(f"/containers/{id_}/stop")
    assert engine.wait(id_) == 21


def test_the_time_to_stop_is_the_containers_own(engine: RunningEngine) -> None:
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "StopTimeout": 0}
    id_ = engine.client.post("/containers/create", body)["Id"]
    engine.start_container(id_)
    began = time.monotonic()
    engine.client.post(f"/containers/{id_}/stop")
    assert time.monotonic() - began < 5
    assert engine.wait(id_) == 137


# ---- at the same time ----


def test_the_same_name_at_the_same_time_is_given_once(engine: RunningEngine) -> None:
    outcomes: list[str] = []

    def create() -> None:
        client = Client(f"unix://{engine.socket}", PREFIX)
        try:
            client.post("/containers/create?name=wanted", {"Image": "busybox", "Cmd": ["true"]})
            outcomes.append("made")
        except Conflict as error:
            assert "already in use" in error.message
            outcomes.append("refused")
        finally:
            client.close()

    _together(create, 12)
    assert sorted(outcomes) == ["made"] + ["refused"] * 11


def test_starts_stops_and_removals_at_the_same_time_agree(engine: RunningEngine) -> None:
    id_ = engine.create("busybox", "sleep", "1000")
    verbs = ["start", "stop?t=0", "kill", "start", "wait", "start"]
    unexpected: list[BaseException] = []

    def act(verb: str) -> None:
        client = Client(f"unix://{engine.socket}", PREFIX)
        try:
            client.post(f"/containers/{id_}/{verb}")
        except (Conflict, NotFound):
            pass
        except BaseException as error:
            unexpected.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=act, args=(verb,)) for verb in verbs * 4]
    for thread in threads:
        thread.start()
    engine.client.call("DELETE", f"/containers/{id_}?force=1")
    for thread in threads:
        thread.join(30)
    assert not unexpected
    assert names(engine) == []


def _together(work: Any, count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


# ---- events ----


def test_events_tell_a_life_in_order(engine: RunningEngine) -> None:
    began = f"{time.time():.9f}"
    id_ = engine.run_container("busybox", "sh", "-c", "exit 5", name="told")
    engine.wait(id_)
    engine.client.call("DELETE", f"/containers/{id_}")
    filters = quote(json.dumps({"container": ["told"]}))
    path = f"/events?since={began}&until={time.time():.9f}&filters={filters}"
    with engine.client.request("GET", path) as reply:
        events = [json.loads(line) for line in reply.lines()]
    assert [e["Action"] for e in events] == ["create", "start", "die", "destroy"]
    assert events[2]["Actor"]["Attributes"]["exitCode"] == "5"
    assert {e["Actor"]["ID"] for e in events} == {id_}
    assert [e["timeNano"] for e in events] == sorted(e["timeNano"] for e in events)


def test_a_listener_hears_what_comes(engine: RunningEngine) -> None:
    client = Client(f"unix://{engine.socket}", PREFIX)
    wanted = quote(json.dumps({"type": ["container"], "event": ["die"]}))
    with client.request("GET", f"/events?filters={wanted}") as reply:
        id_ = engine.run_container("busybox", "true")
        event = json.loads(next(iter(reply.lines())))
    assert (event["Action"], event["Actor"]["ID"]) == ("die", id_)
    client.close()


@pytest.mark.parametrize("path", ["/events", "/networks", "/containers/json", "/images/json"])
def test_filters_that_nobody_knows_are_refused(engine: RunningEngine, path: str) -> None:
    unknown = quote(json.dumps({"colour": ["red"]}))
    with pytest.raises(InvalidArgument, match="invalid filter 'colour'"):
        engine.client.get(f"{path}?filters={unknown}")


def test_networks_are_filtered(engine: RunningEngine) -> None:
    def found(**filters: list[str]) -> list[str]:
        path = f"/networks?filters={quote(json.dumps(filters))}"
        return sorted(network["Name"] for network in engine.client.get(path))

    everything = found()
    assert everything == found(type=["builtin"]) == found(dangling=["false"])
    assert found(driver=["host", "null"]) == ["host", "none"]
    assert found(type=["custom"]) == found(dangling=["true"]) == found(label=["a"]) == []
    with pytest.raises(InvalidArgument, match="'type'='x'"):
        found(type=["x"])
