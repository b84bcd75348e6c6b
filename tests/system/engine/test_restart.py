"""Starting again: by somebody's word, and by a policy."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time

import pytest

from casemate.errors import Conflict, InvalidArgument
from casemate.http.client import Client
from support.engine import PREFIX, RunningEngine, eventually
from support.engines import Start
from support.lives import actions, events, reaches, restarts, status, wait_longest

pytestmark = pytest.mark.root

ALWAYS = {"Name": "always"}
SLEEP = ("busybox", "sleep", "1000")


def failing(engine: RunningEngine, policy: dict[str, object]) -> str:
    return engine.run_container(
        "busybox", "sh", "-c", "cut -d' ' -f1 /proc/uptime; exit 5", RestartPolicy=policy
    )


# ---- the verb ----


def test_restart_is_another_process_with_the_same_ports(engine: RunningEngine) -> None:
    since = time.time_ns()
    id_ = engine.run_container(
        "busybox", "sleep", "1000",
        PortBindings={"80/tcp": [{"HostPort": ""}], "81/udp": [{"HostIp": "127.0.0.1"}]},
    )  # fmt: skip
    before = engine.inspect(id_)
    engine.client.post(f"/containers/{id_}/restart?t=0")
    after = engine.inspect(id_)
    assert after["State"]["Running"] and after["State"]["Pid"] != before["State"]["Pid"]
    assert after["NetworkSettings"]["Ports"] == before["NetworkSettings"]["Ports"]
    assert after["RestartCount"] == 0
    assert actions(engine, since)[-5:] == ["kill", "die", "stop", "start", "restart"]


def test_what_does_not_run_is_started(engine: RunningEngine) -> None:
    id_ = engine.create(*SLEEP)
    engine.client.post(f"/containers/{id_}/restart")
    assert status(engine, id_) == "running"
    engine.client.post(f"/containers/{id_}/pause")
    engine.client.post(f"/containers/{id_}/restart?t=0")
    assert status(engine, id_) == "running"


def test_a_restart_asks_first(engine: RunningEngine) -> None:
    script = "trap 'echo asked; exit 0' USR1; echo ready; while :; do sleep 0.05; done"
    id_ = engine.run_container("busybox", "sh", "-c", script)
    eventually(lambda: engine.output(id_)[0], bool)
    engine.client.post(f"/containers/{id_}/restart?t=30&signal=USR1")
    eventually(lambda: engine.output(id_)[0], lambda said: said == b"ready\nasked\nready\n")


def test_a_restart_that_cannot_start_says_so(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", "rm /bin/sleep; exec tail -f /dev/null")
    engine.client.post(f"/containers/{id_}/restart?t=0")
    assert engine.exec(id_, "rm", "/bin/sh").code == 0
    with pytest.raises(InvalidArgument, match="executable file not found"):
        engine.client.post(f"/containers/{id_}/restart?t=0")
    state = engine.inspect(id_)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 127)


def test_restarts_at_the_same_time_agree(engine: RunningEngine) -> None:
    id_ = engine.run_container(*SLEEP)
    failures: list[Exception] = []

    def again() -> None:
        client = Client(f"unix://{engine.socket}", PREFIX)
        try:
            for verb in ("restart?t=0", "start", "restart?t=0"):
                with client.request("POST", f"/containers/{id_}/{verb}"):
                    pass
        except Exception as error:
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert status(engine, id_) == "running"
    assert engine.exec(id_, "ps").out.count(b"sleep 1000") == 1


def test_a_container_that_vanishes_at_its_end_can_be_restarted(engine: RunningEngine) -> None:
    id_ = engine.run_container(*SLEEP, AutoRemove=True)
    engine.client.post(f"/containers/{id_}/restart?t=0")
    assert status(engine, id_) == "running"
    engine.client.post(f"/containers/{id_}/kill")
    eventually(lambda: engine.client.get("/containers/json?all=1"), lambda found: found == [])


# ---- policies ----


def test_always_starts_again_after_pauses_that_double(engine: RunningEngine) -> None:
    since = time.time_ns()
    id_ = failing(engine, ALWAYS)
    restarts(engine, id_, 4)
    engine.client.post(f"/containers/{id_}/stop")
    times = [float(line) for line in engine.output(id_)[0].split()]
    pauses = [b - a for a, b in itertools.pairwise(times[:5])]
    assert all(
        pause > wanted - 0.02 for pause, wanted in zip(pauses, (0.1, 0.2, 0.4, 0.8), strict=False)
    ), pauses
    assert actions(engine, since)[:6] == ["create", "start", "die", "start", "die", "start"]
    died = events(engine, since, event=["die"])
    assert {e["Actor"]["Attributes"]["exitCode"] for e in died} == {"5"}


@pytest.mark.parametrize(("code", "most", "count"), [(0, 0, 0), (0, 3, 0), (5, 2, 2), (5, 1, 1)])
def test_on_failure_starts_again_after_failures(
    engine: RunningEngine, code: int, most: int, count: int
) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": most}
    id_ = engine.run_container("busybox", "sh", "-c", f"echo x; exit {code}", RestartPolicy=policy)
    eventually(lambda: engine.output(id_)[0], lambda said: said == b"x\n" * (count + 1))
    reaches(engine, id_, "exited")
    found = engine.inspect(id_)
    assert (found["RestartCount"], found["State"]["ExitCode"]) == (count, code)


@pytest.mark.parametrize("verb", ["stop", "kill"])
@pytest.mark.parametrize("name", ["always", "unless-stopped", "on-failure"])
def test_who_is_stopped_stays_so(engine: RunningEngine, verb: str, name: str) -> None:
    id_ = engine.run_container(*SLEEP, RestartPolicy={"Name": name})
    engine.client.post(f"/containers/{id_}/{verb}?t=0")
    found = engine.inspect(id_)
    assert (found["State"]["Status"], found["RestartCount"]) == ("exited", 0)
    engine.start_container(id_)
    os.kill(found["State"]["Pid"] or engine.inspect(id_)["State"]["Pid"], signal.SIGKILL)
    restarts(engine, id_, 1)  # it was not asked for: the policy is in force again
    reaches(engine, id_, "running")


@pytest.mark.parametrize("verb", ["stop", "kill", "kill?signal=HUP"])
def test_the_end_can_be_wanted_between_two_runs(own_engine: RunningEngine, verb: str) -> None:
    engine = own_engine
    id_ = failing(engine, ALWAYS)
    reaches(engine, id_, "restarting")
    wait_longest(engine, id_)
    state = engine.inspect(id_)["State"]
    assert (state["Status"], state["Running"], state["Pid"]) == ("restarting", True, 0)
    other = Client(f"unix://{engine.socket}", PREFIX)
    waiting = other.request("POST", f"/containers/{id_}/wait")
    engine.client.post(f"/containers/{id_}/{verb}")
    with waiting:
        assert b'"StatusCode":5' in waiting.read()
    other.close()
    assert status(engine, id_) == "exited"
    engine.kill()
    engine.start()
    assert status(engine, id_) == "exited"


def test_what_is_restarting_can_be_restarted_and_removed(own_engine: RunningEngine) -> None:
    engine = own_engine
    id_ = failing(engine, ALWAYS)
    reaches(engine, id_, "restarting")
    wait_longest(engine, id_)
    with pytest.raises(Conflict, match="container is restarting: stop the container before"):
        engine.client.call("DELETE", f"/containers/{id_}")
    said = engine.output(id_)[0]
    engine.client.post(f"/containers/{id_}/restart")
    eventually(lambda: engine.output(id_)[0], lambda now: len(now) > len(said))
    engine.client.call("DELETE", f"/containers/{id_}?force=1")
    assert engine.client.get("/containers/json?all=1") == []
    assert engine.fsck() == []


def test_each_end_is_one_to_wait_for(engine: RunningEngine) -> None:
    id_ = failing(engine, ALWAYS)
    other = Client(f"unix://{engine.socket}", PREFIX)
    for condition in ("next-exit", "next-exit", "not-running"):
        before = engine.inspect(id_)["RestartCount"]
        with other.request("POST", f"/containers/{id_}/wait?condition={condition}") as waiting:
            assert b'"StatusCode":5' in waiting.read()
        assert engine.inspect(id_)["RestartCount"] > before or condition == "not-running"
    other.close()


def test_ports_keep_their_numbers(engine: RunningEngine) -> None:
    id_ = engine.run_container(
        *SLEEP, RestartPolicy=ALWAYS, PortBindings={"80/tcp": [{"HostPort": ""}]}
    )
    before = engine.inspect(id_)
    os.kill(before["State"]["Pid"], signal.SIGKILL)
    restarts(engine, id_, 1)
    reaches(engine, id_, "running")
    after = engine.inspect(id_)
    assert after["NetworkSettings"]["Ports"] == before["NetworkSettings"]["Ports"]


def test_a_killed_supervisor_is_no_end(engine: RunningEngine) -> None:
    id_ = engine.run_container(*SLEEP, RestartPolicy=ALWAYS)
    os.kill(engine.supervisor(id_), signal.SIGKILL)
    restarts(engine, id_, 1)
    reaches(engine, id_, "running")
    assert engine.inspect(id_)["State"]["Error"] == ""


@pytest.mark.parametrize(
    ("policy", "match"),
    [
        ({"Name": "sometimes"}, "unknown policy 'sometimes'; use one of"),
        ({"Name": "always", "MaximumRetryCount": 3}, "can only be used with 'on-failure'"),
        ({"Name": "no", "MaximumRetryCount": -1}, "and cannot be negative"),
        ({"Name": "on-failure", "MaximumRetryCount": -1}, "cannot be negative"),
    ],
)
def test_policies_that_are_none(
    engine: RunningEngine, policy: dict[str, object], match: str
) -> None:
    with pytest.raises(InvalidArgument, match=match):
        engine.create(*SLEEP, RestartPolicy=policy)


def test_what_vanishes_cannot_start_again(engine: RunningEngine) -> None:
    with pytest.raises(InvalidArgument, match="can't create 'AutoRemove' container with restart"):
        engine.create(*SLEEP, RestartPolicy=ALWAYS, AutoRemove=True)
    engine.create(*SLEEP, RestartPolicy={"Name": "no"}, AutoRemove=True)


# ---- the engine's end and start ----


def test_who_ended_without_an_engine_is_started_by_the_next(own_engine: RunningEngine) -> None:
    engine = own_engine
    wanted = {"always": "running", "unless-stopped": "running", "on-failure": "running"}
    ids = {
        name: engine.run_container(*SLEEP, name=name, RestartPolicy={"Name": name})
        for name in (*wanted, "no")
    }
    stopped = engine.run_container(*SLEEP, name="stopped", RestartPolicy=ALWAYS)
    engine.client.post(f"/containers/{stopped}/stop?t=0")
    never = engine.create(*SLEEP, RestartPolicy=ALWAYS)
    pids = [engine.inspect(id_)["State"]["Pid"] for id_ in ids.values()]
    supervisors = [os.pidfd_open(engine.supervisor(id_)) for id_ in ids.values()]
    engine.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pidfd in supervisors:
        with os.fdopen(pidfd) as ended:
            eventually(lambda ended=ended: _is_over(ended.fileno()), bool)
    engine.start()
    for name, state in wanted.items():
        reaches(engine, name, state)
        assert engine.inspect(name)["RestartCount"] == 1
    assert status(engine, "no") == "exited"
    assert (status(engine, stopped), status(engine, never)) == ("exited", "created")
    assert engine.fsck() == []


def _is_over(pidfd: int) -> bool:
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="ascii") as file:
        return "Pid:\t-1" in file.read()


def test_after_a_new_start_of_the_machine(own_engine: RunningEngine) -> None:
    """Always is started in any case then, unless-stopped unless it was stopped."""
    engine = own_engine
    for name in ("always", "unless-stopped", "no"):
        engine.run_container(*SLEEP, name=name, RestartPolicy={"Name": name})
        engine.client.post(f"/containers/{name}/stop?t=0")
    engine.stop()
    with open(f"{engine.root}/boot", "w", encoding="ascii") as file:
        file.write("another\n")
    engine.start()
    reaches(engine, "always", "running")
    assert (status(engine, "unless-stopped"), status(engine, "no")) == ("exited", "exited")


def test_an_engine_stays_for_those_who_start_again(start_engine: Start) -> None:
    from support.engine import busybox_tar

    engine = start_engine("--idle", "0.2")
    engine.import_image(busybox_tar(), "busybox")
    id_ = engine.run_container("busybox", "sh", "-c", "sleep 1; exit 1", RestartPolicy=ALWAYS)
    engine.client.close()
    assert engine.process
    with pytest.raises(TimeoutError):
        _ended(engine, 1.5)
    restarts(engine, id_, 1)
    engine.client.call("DELETE", f"/containers/{id_}?force=1")
    engine.client.close()
    _ended(engine, 20)
    engine.process = None


def _ended(engine: RunningEngine, limit_s: float) -> None:
    import subprocess

    assert engine.process
    try:
        engine.process.wait(limit_s)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
