"""What a program runs ends with the program, whatever ends it, and nothing piles up."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading

import pytest

import casemate
from casemate import Engine
from support.engine import RunningEngine, eventually
from support.streams import attach

pytestmark = pytest.mark.root

ATTACH = {"stdout": 1, "casemate-owner": 1}
OWNER = """
import sys, casemate
engine = casemate.Engine(sys.argv[1])
with engine.run("busybox", ["sleep", "1000"]), casemate.Pool("busybox", 2, engine=engine) as pool:
    while len(engine.containers.list()) < 3:
        pass
    print("ready", flush=True)
    pool.run(["sleep", "1000"])
"""


def owner(engine: RunningEngine) -> subprocess.Popen[bytes]:
    """Return a process that runs a container, and uses a pool of two, without an end."""
    command = [sys.executable, "-c", OWNER, f"unix://{engine.socket}"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout and child.stdout.readline() == b"ready\n"
    return child


def left(engine: RunningEngine) -> list[str]:
    return [item["Id"] for item in engine.client.get("/containers/json?all=1")]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_process_that_owns_it(
    api: Engine, engine: RunningEngine, number: signal.Signals
) -> None:
    with owner(engine) as child:
        child.send_signal(number)
    eventually(lambda: left(engine), lambda found: not found)


def test_it_ends_without_an_engine_and_is_removed_by_the_next(own_engine: RunningEngine) -> None:
    with owner(own_engine) as child:
        pids = [own_engine.inspect(id_)["State"]["Pid"] for id_ in left(own_engine)]
        own_engine.kill()
        child.kill()
    eventually(lambda: [p for p in pids if os.path.exists(f"/proc/{p}")], lambda found: not found)
    own_engine.start()
    eventually(lambda: left(own_engine), lambda found: not found)


def test_hundreds_of_runs_leave_nothing(api: Engine, engine: RunningEngine) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def once(number: int) -> None:
        run = api.run("busybox", ["sh", "-c", "head -c 20000 /dev/zero; cat"], input=b"%d" % number)
        assert run.stdout[20000:] == b"%d" % number

    for number in range(20):
        once(number)
    ours, peak_kib = descriptors(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    theirs_kib = engine.resident_kib()
    threads = threading.active_count()
    for number in range(280):
        once(number)
    assert not left(engine)
    assert descriptors() <= ours + 2
    assert threading.active_count() == threads
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= peak_kib + 4096
    assert engine.resident_kib() <= theirs_kib + 16384


def test_an_interrupt_in_the_middle_of_a_run_leaves_nothing(
    api: Engine, engine: RunningEngine
) -> None:
    """The signal comes at another moment of creation, start and talk each time."""
    for step in range(25):
        handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001 + step * 0.001)
            api.run("busybox", ["sleep", "10"]).wait()
        except KeyboardInterrupt:
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
    eventually(lambda: left(engine), lambda found: not found)


def test_errors_are_those_of_the_package() -> None:
    assert casemate.Error is casemate.errors.Error
    assert issubclass(casemate.Timeout, casemate.errors.Aborted)


def test_what_is_created_and_loses_its_owner_before_the_start_is_removed(
    engine: RunningEngine,
) -> None:
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"]}
    forgotten, lost, kept = (
        engine.client.post("/containers/create?casemate-owner=1", body)["Id"] for _ in range(3)
    )
    owners = [attach(engine.client, id_, **ATTACH) for id_ in (lost, kept)]
    owners[0].close()
    assert set(left(engine)) == {forgotten, lost, kept}
    eventually(lambda: left(engine), lambda found: found == [kept])
    engine.start_container(kept)
    owners[1].close()
    assert engine.wait(kept) == 137
