"""The engine is killed at any moment while much goes on; nothing that it acknowledged is lost.

CASEMATE_CRASH_ROUNDS says how often, CASEMATE_CRASH_SEED with which dice.
"""

from __future__ import annotations

import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from casemate.errors import Error, NotFound
from casemate.http.client import Client
from casemate.linux.cgroups import cgroup as cgroups
from casemate.linux.cgroups import layout
from casemate.linux.cgroups.hierarchies import Hierarchies
from support.engine import PREFIX, RunningEngine, busybox_tar, eventually
from support.engines import Start
from support.images import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Blob, config, oci_manifest, tar
from support.lives import reaches
from support.registry import FakeRegistry
from support.traces import orphans_come_to_us, traces

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

ROUNDS = int(os.environ.get("CASEMATE_CRASH_ROUNDS", "20"))
SEED = int(os.environ.get("CASEMATE_CRASH_SEED", "1"))
RETRIES = 2
ALWAYS = {"Name": "always"}
#: Who is cut off in the middle of a request hears nothing of its outcome.
CUT_OFF = (OSError, ValueError, Error)


class Ledger:
    """What the engine has acknowledged, and what it may have done without a word."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        #: Containers that must be there: with their exit code, None while it was never started.
        self.containers: dict[str, int | None] = {}
        #: Containers that must not be there, and those of which nobody can know.
        self.removed: set[str] = set()
        self.unknown: set[str] = set()
        self.images: set[str] = set()
        #: What a verb may have made of a container, by container: one value when it was answered.
        self.status: dict[str, set[str]] = {"still": {"running"}}
        self.names: dict[str, set[str]] = {}
        #: Containers that fail and are started again, and their names.
        self.failing: set[str] = set()
        self.counts: dict[str, int] = {}

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1


class Clients:
    """Threads that ask for all kinds of things until the engine is gone."""

    def __init__(self, engine: RunningEngine, ledger: Ledger, hub: str, seed: int) -> None:
        self.engine, self.ledger, self.hub = engine, ledger, hub
        self.stop = threading.Event()
        works = [self.lives, self.lives, self.commits, self.pulls, self.execs]
        works += [self.pauses, self.renames, self.restarts, self.fails]
        self.threads = [
            threading.Thread(target=self._run, args=(work, random.Random(seed * 100 + n)))
            for n, work in enumerate(works)
        ]
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()

    def _run(self, work: Callable[[Client, random.Random], None], dice: random.Random) -> None:
        client = Client(f"unix://{self.engine.socket}", PREFIX)
        try:
            while not self.stop.is_set():
                work(client, dice)
        except CUT_OFF:
            pass
        finally:
            client.close()

    def lives(self, client: Client, dice: random.Random) -> None:
        code = dice.randrange(1, 100)
        body = {"Image": "busybox", "Cmd": ["sh", "-c", f"echo said {code}; exit {code}"]}
        id_ = client.post("/containers/create", body)["Id"]
        self.ledger.containers[id_] = None
        self.ledger.count("created")
        client.post(f"/containers/{id_}/start")
        self.ledger.containers[id_] = code
        if dice.random() < 0.5:
            assert client.post(f"/containers/{id_}/wait")["StatusCode"] == code
            self.ledger.count("ended")
        if dice.random() < 0.6:
            del self.ledger.containers[id_]
            self.ledger.unknown.add(id_)
            client.call("DELETE", f"/containers/{id_}?force=1")
            self.ledger.unknown.discard(id_)
            self.ledger.removed.add(id_)
            self.ledger.count("removed")

    def commits(self, client: Client, dice: random.Random) -> None:
        name = f"kept:{dice.randrange(10**9)}"
        tag = name.partition(":")[2]
        client.post(f"/commit?container=talker&repo=kept&tag={tag}&changes=ENV%20N%3D{tag}")
        self.ledger.images.add(name)
        self.ledger.count("committed")

    def pulls(self, client: Client, dice: random.Random) -> None:
        tag = dice.randrange(20)
        with client.request("POST", f"/images/create?fromImage={self.hub}/app&tag={tag}") as reply:
            lines = [json.loads(line) for line in reply.lines()]
        if any("Status:" in line.get("status", "") for line in lines):
            self.ledger.images.add(f"{self.hub}/app:{tag}")
            self.ledger.count("pulled")

    def execs(self, client: Client, dice: random.Random) -> None:
        body = {"Cmd": ["true"]}
        exec_id = client.post("/containers/talker/exec", body)["Id"]
        client.post(f"/exec/{exec_id}/start", {"Detach": True})
        self.ledger.count("execs")

    def pauses(self, client: Client, dice: random.Random) -> None:
        (before,) = self.ledger.status["still"]
        verb, after = ("pause", "paused") if before == "running" else ("unpause", "running")
        self.ledger.status["still"] = {before, after}
        client.post(f"/containers/still/{verb}")
        self.ledger.status["still"] = {after}
        self.ledger.count("paused")

    def renames(self, client: Client, dice: random.Random) -> None:
        ((id_, names),) = self.ledger.names.items()
        (before,) = names
        after = f"renamed-{dice.randrange(10**9)}"
        self.ledger.names[id_] = {before, after}
        client.post(f"/containers/{before}/rename?name={after}")
        self.ledger.names[id_] = {after}
        self.ledger.count("renamed")

    def restarts(self, client: Client, dice: random.Random) -> None:
        client.post("/containers/again/restart?t=0")
        self.ledger.count("restarted")

    def fails(self, client: Client, dice: random.Random) -> None:
        policy = {"Name": "on-failure", "MaximumRetryCount": RETRIES}
        body = {"Image": "busybox", "Cmd": ["sh", "-c", "echo run; exit 5"]}
        created = client.post(
            "/containers/create", {**body, "HostConfig": {"RestartPolicy": policy}}
        )
        self.ledger.unknown.add(created["Id"])
        client.post(f"/containers/{created['Id']}/start")
        self.ledger.unknown.discard(created["Id"])
        self.ledger.failing.add(created["Id"])
        self.ledger.count("failed")
        self.stop.wait(0.1)  # a few at a time are enough


@pytest.fixture
def hub() -> Iterator[str]:
    """A registry with twenty images of some layers that they share."""
    with FakeRegistry() as fake:
        shared = Blob(OCI_LAYER, tar({"shared": random.Random(1).randbytes(300_000)}))
        for tag in range(20):
            own = Blob(OCI_LAYER, tar({f"{tag}": random.Random(tag).randbytes(200_000)}))
            document = config([shared.data, own.data])
            for blob in (shared, own, Blob(OCI_CONFIG, document)):
                fake.add_blob("app", blob.data)
            manifest = oci_manifest(document, shared, own)
            fake.add_manifest("app", str(tag), manifest.data, OCI_MANIFEST)
        yield fake.host


class Port:
    """Somebody who connects to a published port all the time."""

    def __init__(self, port: int) -> None:
        self.failures: list[str] = []
        self.successes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port,))
        self._thread.start()

    def _run(self, port: int) -> None:
        while not self._stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), 10) as connection:
                    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    answer = b"".join(iter(lambda: connection.recv(4096), b""))
                assert b"served" in answer
                self.successes += 1
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))
            self._stop.wait(0.01)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def test_nothing_that_was_acknowledged_is_lost(start_engine: Start, hub: str) -> None:
    with orphans_come_to_us():
        _many_deaths(start_engine(), hub)


def _many_deaths(engine: RunningEngine, hub: str) -> None:
    engine.import_image(busybox_tar(), "busybox", 'CMD ["sh"]')
    name = engine.client.get("/info")["ID"]
    talk = "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo line $i; sleep 0.01; done; echo end $i"
    engine.run_container("busybox", "sh", "-c", talk, name="talker")
    engine.run_container("busybox", "sleep", "100000", name="still")
    engine.run_container("busybox", "sleep", "100000", name="again", RestartPolicy=ALWAYS)
    renamed = engine.run_container("busybox", "sleep", "100000", name="renamed")
    serve = "mkdir /w; echo served > /w/index.html; exec httpd -f -p 80 -h /w"
    server = engine.run_container(
        "busybox", "sh", "-c", serve, PortBindings={"80/tcp": [{"HostIp": "127.0.0.1"}]}
    )
    bound = engine.inspect(server)["NetworkSettings"]["Ports"]["80/tcp"][0]
    eventually(lambda: _serves(int(bound["HostPort"])), bool)
    port, ledger, dice = Port(int(bound["HostPort"])), Ledger(), random.Random(SEED)
    ledger.names[renamed] = {"renamed"}
    try:
        for number in range(ROUNDS):
            clients = Clients(engine, ledger, hub, SEED * 1000 + number)
            time.sleep(dice.uniform(0.05, 0.6))  # the moment of death is what is random here
            # Now and then it is asked to leave, which must be no worse.
            engine.stop() if number % 6 == 5 else engine.kill()
            clients.join()
            engine.start()
            _check(engine, ledger)
    finally:
        port.stop()
    assert port.failures == []
    assert port.successes > ROUNDS
    _check_log(engine)
    assert all(ledger.counts.get(what, 0) > ROUNDS // 5 for what in _EXPECTED), ledger.counts
    _remove_all(engine, name)


_EXPECTED = (
    *("created", "ended", "removed", "committed", "pulled", "execs"),
    *("paused", "renamed", "restarted", "failed"),
)


def _serves(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"served" in b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError:
        return False


def _check(engine: RunningEngine, ledger: Ledger) -> None:
    """Hold the new engine to what the old ones have acknowledged."""
    present = {c["Id"]: c for c in engine.client.get("/containers/json?all=1")}
    assert not ledger.removed & present.keys()
    assert present.keys() >= ledger.containers.keys()
    for id_, code in list(ledger.containers.items()):
        if code is None:
            # Its start was asked for, perhaps, and never acknowledged.
            assert engine.inspect(id_)["State"]["Status"] in ("created", "running", "exited")
        else:
            assert engine.wait(id_) == code
            assert engine.output(id_)[0] == f"said {code}\n".encode()
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
        del ledger.containers[id_]
        ledger.removed.add(id_)
    for id_ in ledger.unknown & present.keys():
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
    ledger.unknown.clear()
    _check_lives(engine, ledger)
    names = {n for image in engine.client.get("/images/json") for n in image["RepoTags"]}
    assert names >= ledger.images
    assert engine.inspect("talker")["State"]["Running"]
    assert engine.exec("talker", "echo", "alive").out == b"alive\n"
    assert engine.fsck() == [], engine.log()[-3000:]


def _check_lives(engine: RunningEngine, ledger: Ledger) -> None:
    """Pauses and names are as they were answered; restarts are neither lost nor doubled."""
    found = engine.inspect("still")["State"]
    assert found["Status"] in ledger.status["still"]
    ledger.status["still"] = {found["Status"]}
    hierarchies = Hierarchies(layout.detect())
    cgroup = cgroups.at(hierarchies, engine.inspect("still")["Cgroup"])
    assert cgroup.is_frozen() == found["Paused"]
    hierarchies.close()
    for id_, names in ledger.names.items():
        name = engine.inspect(id_)["Name"].removeprefix("/")
        assert name in names
        assert engine.inspect(name)["Id"] == id_
        ledger.names[id_] = {name}
    reaches(engine, "again", "running")
    for id_ in sorted(ledger.failing):
        reaches(engine, id_, "exited")
        assert engine.output(id_)[0] == b"run\n" * (RETRIES + 1), engine.inspect(id_)
        state = engine.inspect(id_)
        assert (state["RestartCount"], state["State"]["ExitCode"]) == (RETRIES, 5)
        engine.client.call("DELETE", f"/containers/{id_}")
        ledger.removed.add(id_)
    ledger.failing.clear()


def _check_log(engine: RunningEngine) -> None:
    """Every line that was said is there, once, in order."""
    engine.exec("talker", "touch", "/stop")
    assert engine.wait("talker") == 0
    *lines, last = engine.output("talker")[0].decode().splitlines()
    assert lines == [f"line {n}" for n in range(1, len(lines) + 1)]
    assert last == f"end {len(lines)}"


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
