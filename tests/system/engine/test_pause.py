"""Containers that stand still: nothing runs, nothing is lost, and they can be ended."""

from __future__ import annotations

import time

import pytest

from casemate.errors import Conflict
from casemate.linux.cgroups import cgroup as cgroups
from casemate.linux.cgroups import layout
from casemate.linux.cgroups.hierarchies import Hierarchies
from support.engine import RunningEngine, eventually
from support.lives import actions, reaches, status

pytestmark = pytest.mark.root

COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done"
POLITE = "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.05; done"


def paused(engine: RunningEngine, script: str, **more: object) -> str:
    id_ = engine.run_container("busybox", "sh", "-c", script, **more)
    eventually(lambda: engine.output(id_)[0], bool)
    engine.client.post(f"/containers/{id_}/pause")
    return id_


def test_nothing_runs_in_a_paused_container(engine: RunningEngine) -> None:
    id_ = paused(engine, COUNT)
    pid = engine.inspect(id_)["State"]["Pid"]
    said = engine.output(id_)[0]
    state = engine.inspect(id_)["State"]
    assert (state["Status"], state["Running"], state["Paused"]) == ("paused", True, True)
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        before = file.read()
        time.sleep(0.1)  # ten lines would be said in this time
        file.seek(0)
        assert file.read() == before
    assert engine.output(id_)[0] == said
    engine.client.post(f"/containers/{id_}/unpause")
    assert status(engine, id_) == "running"
    eventually(lambda: engine.output(id_)[0], lambda now: now.startswith(said) and now != said)


def test_what_was_created_meanwhile_stands_still_as_well(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "while :; do true & done")
    for _ in range(3):
        engine.client.post(f"/containers/{id_}/pause")
        engine.client.post(f"/containers/{id_}/unpause")
    assert status(engine, id_) == "running"


@pytest.mark.parametrize(
    ("verb", "code"), [("stop?t=20", 3), ("kill", 137), ("kill?signal=TERM", 3), ("stop?t=0", 3)]
)
def test_a_paused_container_can_be_ended(engine: RunningEngine, verb: str, code: int) -> None:
    since = time.time_ns()
    id_ = paused(engine, POLITE)
    engine.client.post(f"/containers/{id_}/{verb}")
    found = engine.wait(id_)
    # With no time to be polite it may be killed before it is heard.
    assert found == code or (verb == "stop?t=0" and found == 137)
    assert status(engine, id_) == "exited"
    assert "unpause" in actions(engine, since)


def test_a_paused_container_can_be_removed_by_force(engine: RunningEngine) -> None:
    id_ = paused(engine, COUNT)
    with pytest.raises(Conflict, match="is paused and must be unpaused first"):
        engine.client.call("DELETE", f"/containers/{id_}")
    engine.client.call("DELETE", f"/containers/{id_}?force=1")
    assert engine.client.get("/containers/json?all=1") == []


def test_a_signal_that_does_not_mean_the_end_waits_for_the_unpausing(
    engine: RunningEngine,
) -> None:
    script = "trap 'echo got; exit 0' USR1; echo ready; while :; do sleep 0.05; done"
    id_ = paused(engine, script)
    engine.client.post(f"/containers/{id_}/kill?signal=USR1")
    assert status(engine, id_) == "paused"
    engine.client.post(f"/containers/{id_}/unpause")
    assert engine.wait(id_) == 0
    assert engine.output(id_)[0] == b"ready\ngot\n"


def test_a_paused_container_is_paused_for_the_next_engine(own_engine: RunningEngine) -> None:
    engine = own_engine
    id_ = paused(engine, COUNT)
    said = engine.output(id_)[0]
    for leave in (engine.kill, engine.stop):
        leave()
        engine.start()
        assert status(engine, id_) == "paused"
        assert engine.output(id_)[0] == said
    engine.client.post(f"/containers/{id_}/unpause")
    eventually(lambda: engine.output(id_)[0], lambda now: now != said)
    assert engine.fsck() == []


@pytest.mark.parametrize("verb", ["pause", "unpause"])
def test_what_an_engine_did_not_live_to_write_down_goes_on(
    own_engine: RunningEngine, verb: str
) -> None:
    """Killed between the freezer and the record: nobody was answered."""
    engine = own_engine
    id_ = paused(engine, COUNT)
    if verb == "pause":
        engine.client.post(f"/containers/{id_}/unpause")
    hierarchies = Hierarchies(layout.detect())
    cgroup = cgroups.at(hierarchies, engine.inspect(id_)["Cgroup"])
    engine.kill()
    cgroup.freeze() if verb == "pause" else cgroup.thaw()
    engine.start()
    reaches(engine, id_, "running")
    assert not cgroup.is_frozen()
    hierarchies.close()


def test_a_paused_container_stays_so_while_it_is_committed(engine: RunningEngine) -> None:
    id_ = paused(engine, "echo x > /new; echo ready; sleep 1000")
    image = engine.client.post(f"/commit?container={id_}&repo=still")["Id"]
    assert status(engine, id_) == "paused"
    engine.client.call("DELETE", f"/images/{image}")


def test_pausing_is_told(engine: RunningEngine) -> None:
    since = time.time_ns()
    id_ = engine.run_container("busybox", "sleep", "1000")
    engine.client.post(f"/containers/{id_}/pause")
    engine.client.post(f"/containers/{id_}/unpause")
    assert actions(engine, since) == ["create", "start", "pause", "unpause"]


def test_pauses_and_the_end_at_the_same_time_agree(engine: RunningEngine) -> None:
    for _ in range(10):
        id_ = engine.run_container("busybox", "sleep", "0.02")
        with pytest.raises(Conflict, match=r"is not (running|paused)"):
            while True:
                engine.client.post(f"/containers/{id_}/pause")
                engine.client.post(f"/containers/{id_}/unpause")
        reaches(engine, id_, "exited")
