"""Health checks: what they find, when they begin to count, and what follows."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from casemate.engine.clock import now_ns
from casemate.errors import InvalidArgument
from support.engine import RunningEngine, eventually

pytestmark = pytest.mark.root

MS = 1_000_000
SLEEP = ("sleep", "1000")


def create(
    engine: RunningEngine, check: dict[str, Any], image: str = "busybox", **host: Any
) -> str:
    body = {"Image": image, "Cmd": list(SLEEP), "Healthcheck": check, "HostConfig": host}
    id_: str = engine.client.post("/containers/create", body)["Id"]
    engine.start_container(id_)
    return id_


def run(engine: RunningEngine, test: str, **more: Any) -> str:
    """Start a container whose health ``test`` tells, ten times a second."""
    check = {"Test": ["CMD-SHELL", test], "Interval": 100 * MS, "Retries": 2, **more}
    return create(engine, check)


def health(engine: RunningEngine, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = engine.inspect(id_)["State"]["Health"]
    return found


def until(engine: RunningEngine, id_: str, status: str) -> dict[str, Any]:
    return eventually(lambda: health(engine, id_), lambda found: bool(found["Status"] == status))


def listed(engine: RunningEngine, status: str) -> list[str]:
    query = f'/containers/json?all=1&filters={{"health":["{status}"]}}'
    return [container["Id"] for container in engine.client.get(query)]


def test_a_container_gets_ill_and_well_again(engine: RunningEngine) -> None:
    id_ = run(engine, "cat /well")
    ill = until(engine, id_, "unhealthy")
    assert ill["FailingStreak"] >= 2 and listed(engine, "unhealthy") == [id_]
    last = ill["Log"][-1]
    assert last["ExitCode"] == 1 and "can't open '/well'" in last["Output"]
    assert engine.exec(id_, "sh", "-c", "echo fine > /well").code == 0
    well = until(engine, id_, "healthy")
    assert (well["FailingStreak"], well["Log"][-1]["Output"]) == (0, "fine\n")
    assert "(healthy)" in engine.client.get("/containers/json")[0]["Status"]
    assert listed(engine, "healthy") == [id_] and listed(engine, "none") == []
    full = eventually(lambda: health(engine, id_), lambda found: len(found["Log"]) == 5)
    assert all(found["Start"] < found["End"] for found in full["Log"])


def test_little_is_kept_of_what_was_said(engine: RunningEngine) -> None:
    id_ = run(engine, "seq 1 20000")
    found = until(engine, id_, "healthy")
    assert len(found["Log"][-1]["Output"]) == 4096
    eventually(lambda: engine.inspect(id_)["ExecIDs"], lambda ids: ids is None)


def test_what_takes_too_long_is_killed(engine: RunningEngine) -> None:
    id_ = run(engine, "echo began; exec sleep 77", Timeout=200 * MS, Interval=300 * MS)
    found = until(engine, id_, "unhealthy")
    assert found["Log"][-1]["ExitCode"] == -1
    assert found["Log"][-1]["Output"] == "Health check exceeded timeout (0.2s): began\n"

    def sleepers() -> int:
        processes = engine.client.get(f"/containers/{id_}/top")["Processes"]
        return sum("sleep 77" in " ".join(process) for process in processes)

    eventually(sleepers, lambda count: count == 0)


def test_a_command_that_is_not_there_is_a_failure(engine: RunningEngine) -> None:
    id_ = create(engine, {"Test": ["CMD", "/nothing"], "Interval": 50 * MS, "Retries": 1})
    assert "/nothing" in until(engine, id_, "unhealthy")["Log"][-1]["Output"]


def test_failures_do_not_count_while_it_gets_ready(engine: RunningEngine) -> None:
    minute = 60_000 * MS
    id_ = run(engine, "test -e /well", Interval=minute, StartPeriod=minute, StartInterval=50 * MS)
    found = eventually(lambda: health(engine, id_), lambda now: len(now["Log"]) >= 4)
    assert (found["Status"], found["FailingStreak"]) == ("starting", 0)
    assert "(health: starting)" in engine.client.get("/containers/json")[0]["Status"]
    engine.exec(id_, "touch", "/well")
    until(engine, id_, "healthy")


def test_events_tell(engine: RunningEngine) -> None:
    began = f"{time.time():.9f}"
    id_ = run(engine, "true")
    until(engine, id_, "healthy")
    filters = json.dumps({"container": [id_], "event": ["health_status"]})
    path = f"/events?since={began}&until={time.time():.9f}&filters={filters}"
    with engine.client.request("GET", path.replace(" ", "")) as reply:
        (event,) = (json.loads(line) for line in reply.lines())
    assert event["Action"] == "health_status: healthy"


def test_a_paused_container_is_left_alone(engine: RunningEngine) -> None:
    id_ = run(engine, "true")
    until(engine, id_, "healthy")
    engine.client.post(f"/containers/{id_}/pause")
    paused_ns = now_ns()
    eventually(now_ns, lambda now: now > paused_ns + 400 * MS)
    assert health(engine, id_)["Status"] == "healthy"
    engine.client.post(f"/containers/{id_}/unpause")
    before = health(engine, id_)["Log"][-1]["Start"]
    eventually(lambda: health(engine, id_)["Log"][-1]["Start"], lambda now: bool(now > before))


def test_each_run_begins_anew(engine: RunningEngine) -> None:
    id_ = run(engine, "true", Interval=500 * MS)
    until(engine, id_, "healthy")
    engine.client.post(f"/containers/{id_}/restart?t=0")
    assert health(engine, id_)["Status"] == "starting"
    engine.client.post(f"/containers/{id_}/stop?t=0")
    assert "health" not in engine.client.get("/containers/json?all=1")[0]["Status"]


def test_an_unhealthy_container_is_stopped_or_started_again(engine: RunningEngine) -> None:
    check = {"Test": ["CMD", "false"], "Interval": 100 * MS, "Retries": 1}
    stopped = create(engine, check, OnUnhealthy="stop")
    again = create(engine, check, OnUnhealthy="restart")
    began = engine.inspect(again)["State"]["StartedAt"]
    eventually(lambda: engine.inspect(again)["State"], lambda now: bool(now["StartedAt"] > began))
    for id_ in (stopped, again):
        engine.client.post(f"/containers/{id_}/stop?t=0")
    state = engine.inspect(stopped)["State"]
    assert (state["Status"], state["Health"]["Status"]) == ("exited", "unhealthy")
    with pytest.raises(InvalidArgument, match="--on-unhealthy 'dance'"):
        create(engine, check, OnUnhealthy="dance")


def test_an_image_says_how_and_the_user_what_else(engine: RunningEngine) -> None:
    made = engine.create("busybox", "true")
    check = {"Test": ["CMD-SHELL", "cat /etc/hostname"], "Interval": 60_000 * MS}
    engine.client.post(f"/commit?container={made}&repo=checked", {"Healthcheck": check})
    found = engine.inspect(engine.create("checked"))["Config"]["Healthcheck"]
    assert found["Test"] == check["Test"]
    faster = create(engine, {"Interval": 50 * MS}, "checked")
    until(engine, faster, "healthy")
    none = create(engine, {"Test": ["NONE"]}, "checked")
    assert "Health" not in engine.inspect(none)["State"]


@pytest.mark.parametrize(
    ("check", "match"),
    [
        ({"Test": ["CMD"]}, "Unknown healthcheck type 'CMD'"),
        ({"Test": ["SHELL", "true"]}, "Unknown healthcheck type 'SHELL'"),
        ({"Test": ["CMD", "true"], "Interval": 1}, "Interval in Healthcheck cannot be less"),
        ({"Test": ["CMD", "true"], "Timeout": -5}, "Timeout in Healthcheck cannot be less"),
        ({"Test": ["CMD", "true"], "Retries": -1}, "Retries in Healthcheck cannot be negative"),
    ],
)
def test_a_check_that_is_none_is_refused(
    engine: RunningEngine, check: dict[str, Any], match: str
) -> None:
    with pytest.raises(InvalidArgument, match=match):
        create(engine, check)


def test_the_next_engine_goes_on(own_engine: RunningEngine) -> None:
    engine = own_engine
    id_ = run(engine, "test ! -e /ill")
    before = until(engine, id_, "healthy")
    engine.kill()
    engine.start()
    after = health(engine, id_)
    assert after["Status"] == "healthy" and after["Log"][0]["Start"] >= before["Log"][0]["Start"]
    engine.exec(id_, "touch", "/ill")
    until(engine, id_, "unhealthy")
