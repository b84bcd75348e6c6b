"""A container that takes more memory than it may is told of: at once, and each time once."""

from __future__ import annotations

import time

import pytest

from support.engine import RunningEngine, eventually
from support.lives import actions, reaches, restarts

pytestmark = pytest.mark.root

LIMIT = {"Memory": 16 << 20, "MemorySwap": 16 << 20}
GREEDY = "dd if=/dev/zero of=/dev/null bs=100M count=1"


def ooms(engine: RunningEngine, since: int) -> int:
    return actions(engine, since).count("oom")


def test_it_is_told_while_the_container_goes_on(engine: RunningEngine) -> None:
    since = time.time_ns()
    script = f"read x; {GREEDY}; echo survived; read x; {GREEDY}; read x"
    id_ = engine.run_container("busybox", "sh", "-c", script, OpenStdin=True, **LIMIT)
    from support.streams import attach

    streams = attach(engine.client, id_, stdin=1)
    assert not engine.inspect(id_)["State"]["OOMKilled"]
    for count in (1, 2):
        streams.send(b"\n")
        eventually(lambda: ooms(engine, since), lambda found, count=count: found == count)
        state = engine.inspect(id_)["State"]
        assert state["OOMKilled"] and state["Running"]
    streams.send(b"\n")
    engine.wait(id_)
    streams.close()
    assert engine.inspect(id_)["State"]["OOMKilled"]
    assert ooms(engine, since) == 2
    engine.client.post(f"/containers/{id_}/start")
    assert not engine.inspect(id_)["State"]["OOMKilled"]


def test_an_end_by_it_is_told_once(engine: RunningEngine) -> None:
    since = time.time_ns()
    id_ = engine.run_container("busybox", "sh", "-c", f"exec {GREEDY}", Init=True, **LIMIT)
    assert engine.wait(id_) == 137
    state = engine.inspect(id_)["State"]
    assert (state["Status"], state["OOMKilled"]) == ("exited", True)
    assert actions(engine, since) == ["create", "start", "oom", "die"]


def test_what_an_engine_has_told_the_next_one_does_not(own_engine: RunningEngine) -> None:
    engine = own_engine
    since = time.time_ns()
    script = f"{GREEDY}; while [ ! -e /go ]; do sleep 0.02; done; {GREEDY}; sleep 1000"
    id_ = engine.run_container("busybox", "sh", "-c", script, **LIMIT)
    eventually(lambda: ooms(engine, since), lambda found: found == 1)
    engine.kill()
    engine.start()
    again = time.time_ns()
    assert engine.inspect(id_)["State"]["OOMKilled"]
    engine.exec(id_, "touch", "/go")
    eventually(lambda: ooms(engine, again), lambda found: found == 1)
    engine.client.post(f"/containers/{id_}/kill")
    assert ooms(engine, again) == 1


def test_a_policy_starts_again_who_was_killed_by_it(engine: RunningEngine) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": 1}
    script = f"exec {GREEDY}"
    id_ = engine.run_container(
        "busybox", "sh", "-c", script, Init=True, RestartPolicy=policy, **LIMIT
    )
    restarts(engine, id_, 1)
    reaches(engine, id_, "exited")
    assert engine.inspect(id_)["State"]["OOMKilled"]
