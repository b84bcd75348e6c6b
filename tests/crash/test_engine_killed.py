"""The engine is killed at any moment while much goes on; nothing that it acknowledged is lost.

CASEMATE_CRASH_MOMENTS says how often, CASEMATE_CRASH_SEED with which dice.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from casemate.errors import NotFound
from casemate.linux.cgroups import cgroup as cgroups
from casemate.linux.cgroups import layout
from casemate.linux.cgroups.hierarchies import Hierarchies
from support.crashing import RETRIES, Clients, Ledger
from support.engine import RunningEngine, busybox_tar, eventually
from support.engines import Start
from support.hubs import fill
from support.lives import reaches
from support.probes import Lasting, Listener, Probe, serves
from support.registry import FakeRegistry
from support.streams import attach
from support.traces import orphans_come_to_us, traces

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]

MOMENTS = int(os.environ.get("CASEMATE_CRASH_MOMENTS", "80"))
SEED = int(os.environ.get("CASEMATE_CRASH_SEED", str(random.randrange(10**6))))
#: So many deaths, then everything is looked at.
IN_A_ROW = 20
ALWAYS = {"Name": "always"}
_DONE = (
    *("created", "ended", "removed", "vanished", "committed", "pulled", "execs"),
    *("paused", "renamed", "restarted", "failed"),
)


@pytest.fixture
def hub() -> Iterator[str]:
    """A registry with some images."""
    with FakeRegistry() as registry:
        yield fill(registry)


def test_nothing_that_was_acknowledged_is_lost(start_engine: Start, hub: str) -> None:
    print(f"CASEMATE_CRASH_SEED={SEED}")  # shown when it fails
    with orphans_come_to_us():
        _many_deaths(start_engine(), hub)


def _many_deaths(engine: RunningEngine, hub: str) -> None:
    engine.import_image(busybox_tar(), "busybox", 'CMD ["sh"]')
    name = engine.client.get("/info")["ID"]
    talk = "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo line $i; sleep 0.01; done; echo end $i"
    engine.run_container("busybox", "sh", "-c", talk, name="talker")
    engine.run_container("busybox", "sleep", "100000", name="still")
    engine.run_container("busybox", "sleep", "100000", name="again", RestartPolicy=ALWAYS)
    engine.run_container("busybox", "sleep", "100000", name="renamed")
    ledger, dice = Ledger(), random.Random(SEED)
    probes = _probes(engine)
    watching = Listener(attach(engine.client, "talker", stdout=1, stderr=1))
    try:
        for number in range(0, MOMENTS, IN_A_ROW):
            clients = Clients(engine, ledger, hub, SEED * 1000 + number)
            try:
                _die(engine, dice, min(IN_A_ROW, MOMENTS - number))
            finally:
                clients.join()
            _check(engine, ledger)
    finally:
        for probe in probes:
            probe.stop()
    assert [probe.failures for probe in probes] == [[], []]
    assert all(probe.successes > MOMENTS for probe in probes)
    _check_log(engine, watching)
    assert all(ledger.counts[what] > MOMENTS // 20 for what in _DONE), ledger.counts
    _remove_all(engine, name)


def _probes(engine: RunningEngine) -> list[Probe]:
    """Publish ports of a web server and of one that echoes, and begin to use them."""
    anywhere = {"HostIp": "127.0.0.1"}
    serve = "mkdir /w; echo served > /w/index.html; exec httpd -f -p 80 -h /w"
    web = engine.run_container(
        "busybox", "sh", "-c", serve, PortBindings={"80/tcp": [anywhere, anywhere, anywhere]}
    )
    echo = engine.run_container(
        "busybox", "nc", "-ll", "-p", "7", "-e", "cat", PortBindings={"7/tcp": [anywhere]}
    )
    ports = _ports(engine, web, "80/tcp")
    assert len(ports) == 3
    eventually(lambda: _answers(ports[0]), bool)
    (port,) = _ports(engine, echo, "7/tcp")
    return [Probe(ports), Lasting(port)]


def _ports(engine: RunningEngine, id_: str, port: str) -> list[int]:
    bound = engine.inspect(id_)["NetworkSettings"]["Ports"][port]
    return sorted({int(one["HostPort"]) for one in bound})


def _answers(port: int) -> bool:
    try:
        return serves(port)
    except OSError:
        return False


def _die(engine: RunningEngine, dice: random.Random, times: int) -> None:
    """Have the engine die so many times; it lives in the end. When it dies is random."""
    for number in range(times):
        if number:
            if dice.random() < 0.3:
                engine.process = engine.spawn()  # and dies, perhaps, while it starts
            else:
                engine.start()
        time.sleep(dice.uniform(0, 0.5))
        # Now and then it is asked to leave, which must be no worse.
        engine.stop() if dice.random() < 0.1 else engine.kill()
    engine.start()


def _check(engine: RunningEngine, ledger: Ledger) -> None:
    """Hold the engine to what it and those before it have acknowledged."""
    present = {c["Id"]: c for c in engine.client.get("/containers/json?all=1")}
    assert not ledger.removed & present.keys()
    assert present.keys() >= ledger.containers.keys() | ledger.failing
    for id_, code in ledger.containers.items():
        if code is None:
            # Its start was asked for, perhaps, and never acknowledged.
            assert engine.inspect(id_)["State"]["Status"] in ("created", "running", "exited")
        else:
            assert engine.wait(id_) == code
            assert engine.output(id_)[0] == f"said {code}\n".encode()
    _check_lives(engine, ledger)
    images = {n for image in engine.client.get("/images/json") for n in image["RepoTags"]}
    assert images >= ledger.images
    assert engine.inspect("talker")["State"]["Running"]
    assert engine.exec("talker", "echo", "alive").out == b"alive\n"
    _remove(engine, ledger)
    assert engine.fsck() == [], engine.log()[-3000:]


def _check_lives(engine: RunningEngine, ledger: Ledger) -> None:
    """Pauses and names are as they were answered; restarts are neither lost nor doubled."""
    found = engine.inspect("still")["State"]
    assert found["Status"] in ledger.status
    hierarchies = Hierarchies(layout.detect())
    cgroup = cgroups.at(hierarchies, engine.inspect("still")["Cgroup"])
    assert cgroup.is_frozen() == found["Paused"]
    hierarchies.close()
    names = {n.lstrip("/") for c in engine.client.get("/containers/json") for n in c["Names"]}
    assert len(names & ledger.names) == 1
    reaches(engine, "again", "running")
    for id_ in sorted(ledger.failing):
        reaches(engine, id_, "exited")
        assert engine.output(id_)[0] == b"run\n" * (RETRIES + 1), engine.inspect(id_)
        state = engine.inspect(id_)
        assert (state["RestartCount"], state["State"]["ExitCode"]) == (RETRIES, 5)


def _remove(engine: RunningEngine, ledger: Ledger) -> None:
    """Remove what came and went, also what nobody was told of; the fixed ones stay."""
    fixed = {"talker", "still", "again", *ledger.names}
    for one in engine.client.get("/containers/json?all=1"):
        if not fixed & {n.lstrip("/") for n in one["Names"]} and not one["Ports"]:
            engine.client.call("DELETE", f"/containers/{one['Id']}?force=1")
            ledger.removed.add(one["Id"])
    ledger.containers.clear()
    ledger.failing.clear()
    engine.remove_images_but("busybox:latest")
    ledger.images.clear()


def _check_log(engine: RunningEngine, watching: Listener) -> None:
    """Every line that was said is there, once, in order; also for who was attached meanwhile."""
    engine.exec("talker", "touch", "/stop")
    assert engine.wait("talker") == 0
    lines = engine.output("talker")[0].decode().splitlines()
    *said, last = lines
    assert said == [f"line {n}" for n in range(1, len(said) + 1)]
    assert last == f"end {len(said)}"
    heard = watching.heard().decode().splitlines()
    assert len(heard) > MOMENTS
    assert heard == lines[-len(heard) :]


def _remove_all(engine: RunningEngine, name: str) -> None:
    """Nothing is left when everything is removed."""
    for container in engine.client.get("/containers/json?all=1"):
        engine.client.call("DELETE", f"/containers/{container['Id']}?force=1")
    engine.remove_images_but("")
    engine.stop()
    eventually(lambda: traces(engine, name), lambda found: not found)
    assert engine.stored() == {}


def test_it_starts_when_killed_in_the_middle_of_starting(start_engine: Start) -> None:
    """Recovery can be cut short as well, any number of times."""
    engine = start_engine()
    engine.import_image(busybox_tar(), "busybox")
    ids = [engine.run_container("busybox", "sleep", "1000") for _ in range(5)]
    ended = engine.run_container("busybox", "sh", "-c", "exit 9")
    engine.wait(ended)
    dice = random.Random(SEED)
    engine.kill()
    for _ in range(10):
        process = engine.spawn()
        time.sleep(dice.uniform(0.1, 0.5))
        process.kill()
        process.wait()
    engine.start()
    running: dict[str, Any] = {c["Id"]: c for c in engine.client.get("/containers/json")}
    assert running.keys() == set(ids)
    assert engine.inspect(ended)["State"]["ExitCode"] == 9
    assert [engine.exec(i, "echo", "x").out for i in ids] == [b"x\n"] * 5
    assert engine.fsck() == [], engine.log()[-3000:]


def test_a_container_that_vanishes_by_itself_vanishes_without_an_engine(
    start_engine: Start,
) -> None:
    engine = start_engine()
    engine.import_image(busybox_tar(), "busybox")
    script = "while [ ! -e /go ]; do sleep 0.02; done; exit 3"
    id_ = engine.run_container("busybox", "sh", "-c", script, AutoRemove=True)
    state = engine.inspect(id_)["State"]
    engine.kill()
    pidfd = os.pidfd_open(state["Pid"])
    with open(f"/proc/{state['Pid']}/root/go", "w"):
        pass
    engine.start()
    os.close(pidfd)

    def gone() -> bool:
        try:
            engine.inspect(id_)
        except NotFound:
            return True
        return False

    eventually(gone, bool)
    assert os.listdir(f"{engine.root}/containers") == []
    assert engine.fsck() == [], engine.log()[-3000:]
