"""The power is lost at any moment while much goes on; what was answered is there afterwards.

CASEMATE_POWER_LOSSES says how often, CASEMATE_CRASH_SEED with which dice.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from casemate.errors import Error
from support.engine import ProgressError, RunningEngine, busybox_tar, eventually
from support.engines import place, require
from support.hubs import TAGS, fill
from support.images import docker_archive, tar
from support.powerloss import RecordedDisk, Replay, mounted, needs, shared
from support.promises import GONE, NEW, RAN, THERE, Promises, Value
from support.registry import FakeRegistry

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]

LOSSES = int(os.environ.get("CASEMATE_POWER_LOSSES", "20"))
SEED = int(os.environ.get("CASEMATE_CRASH_SEED", "1"))
WORK_S = 4.0
ALWAYS = {"Name": "always"}
Work = Callable[[RunningEngine, Promises, random.Random], None]


def lives(engine: RunningEngine, promises: Promises, dice: random.Random) -> None:
    code = dice.randrange(1, 100)
    id_ = engine.create("busybox", "sh", "-c", f"exit {code}")
    subject = f"container {id_}"
    promises.keep(subject, NEW)
    if dice.random() < 0.2:
        return
    possible: set[Value] = {NEW, RAN, code}
    promises.expect(subject, *possible)
    engine.start_container(id_)
    if dice.random() < 0.8:
        assert engine.wait(id_) == code
        possible = {code}
        promises.keep(subject, code)
    if dice.random() < 0.4:
        promises.expect(subject, *possible, GONE)
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
        promises.keep(subject, GONE)


def serves(engine: RunningEngine, promises: Promises, dice: random.Random) -> None:
    id_ = engine.create("busybox", "sleep", "100000", RestartPolicy=ALWAYS)
    promises.expect(f"service {id_}", NEW, "running")
    engine.start_container(id_)
    promises.keep(f"service {id_}", "running")
    name = f"renamed-{dice.randrange(10**9)}"
    promises.expect(f"name {id_}", name, "")
    engine.client.post(f"/containers/{id_}/rename?name={name}")
    promises.keep(f"name {id_}", name)
    time.sleep(dice.uniform(0.2, 0.5))  # a few are enough
    promises.expect(f"service {id_}", "running", GONE)
    promises.expect(f"name {id_}", name, GONE)
    engine.client.call("DELETE", f"/containers/{id_}?force=1")
    promises.keep(f"service {id_}", GONE)
    promises.keep(f"name {id_}", GONE)


def commits(engine: RunningEngine, promises: Promises, dice: random.Random) -> None:
    tag = str(dice.randrange(10**9))
    id_ = engine.client.post(f"/commit?container=source&repo=kept&tag={tag}")["Id"]
    promises.keep(f"image kept:{tag}", id_)
    if dice.random() < 0.5:
        promises.expect(f"image moved:{tag}", id_, GONE)
        engine.client.post(f"/images/kept:{tag}/tag?repo=moved&tag={tag}")
        promises.keep(f"image moved:{tag}", id_)
    if dice.random() < 0.3:
        promises.expect(f"image kept:{tag}", id_, GONE)
        engine.client.call("DELETE", f"/images/kept:{tag}")
        promises.keep(f"image kept:{tag}", GONE)


def loads(engine: RunningEngine, promises: Promises, dice: random.Random) -> None:
    name = f"loaded:{dice.randrange(10**9)}"
    data = tar({"data": dice.randbytes(dice.randrange(200_000))})
    engine.load(tar(docker_archive({"layer.tar": data}, name)))
    promises.keep(f"image {name}", engine.image(name)["Id"])


def pulls(repository: str) -> Work:
    """Return the work of who pulls from ``repository``, and removes what came."""

    def work(engine: RunningEngine, promises: Promises, dice: random.Random) -> None:
        name = f"{repository}:{dice.randrange(TAGS)}"
        promises.expect(f"pulled {name}", THERE, GONE)
        engine.pull(name)
        promises.keep(f"pulled {name}", THERE)
        if dice.random() < 0.7:
            promises.expect(f"pulled {name}", THERE, GONE)
            engine.client.call("DELETE", f"/images/{name}?force=1")
            promises.keep(f"pulled {name}", GONE)

    return work


@pytest.fixture
def directory() -> Iterator[str]:
    require()
    needs()
    made = place()
    with shared(made):
        yield made
    shutil.rmtree(made)


def test_what_was_answered_is_there_after_a_loss_of_power(directory: str) -> None:
    disk = RecordedDisk(directory, f"{directory}/engine/root")
    engine = RunningEngine(f"{directory}/engine")
    try:
        promises = _work(engine, disk)
    finally:
        _leave(engine)
        disk.close()
    dice, replay = random.Random(SEED), Replay(disk, directory)
    end = os.stat(disk.log).st_size
    moments = [(p, 0.0) for p in dice.sample(promises.kept_at, LOSSES // 2)]
    while len(moments) < LOSSES:
        moments.append((dice.randrange(promises.kept_at[0], end), dice.choice((0.0, 0.5, 0.9))))
    for position, kept in sorted(moments):
        image = replay.at(position, dice, kept)
        with mounted(image, engine.root):
            _hold(engine, promises.at(position), f"seed {SEED}, {position} of {end}, {kept}")
    replay.close()


def _work(engine: RunningEngine, disk: RecordedDisk) -> Promises:
    """Do much at the same time; return what was answered, and when."""
    promises = Promises(disk.position)
    engine.start()
    engine.import_image(busybox_tar(), "busybox", 'CMD ["sh"]')
    promises.keep("image busybox:latest", engine.image("busybox")["Id"])
    said = "echo $i; " * 50
    engine.run_container("busybox", "sh", "-c", f"echo x > /new; {said}", name="source")
    with FakeRegistry() as registry:
        works = [lives, lives, lives, serves, commits, loads, pulls(fill(registry))]
        until = time.monotonic() + WORK_S
        threads = [
            threading.Thread(target=_repeat, args=(work, engine.place, promises, number, until))
            for number, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return promises


def _repeat(work: Work, place: str, promises: Promises, number: int, until: float) -> None:
    engine = RunningEngine(place)  # a client of the one that runs there
    dice = random.Random(SEED * 100 + number)
    try:
        while time.monotonic() < until:
            work(engine, promises, dice)
    finally:
        engine.client.close()


def _leave(engine: RunningEngine) -> None:
    """End all that lives, as a loss of power does; nothing is written down."""
    engine.kill()
    engine.leave_the_machine()
    shutil.rmtree(engine.run, ignore_errors=True)


def _hold(engine: RunningEngine, known: dict[str, frozenset[Value]], when: str) -> None:
    """Start an engine on what is left, and hold it to what was answered."""
    with open(f"{engine.root}/boot", "w", encoding="ascii") as file:
        file.write("another-start-of-the-machine\n")
    engine.start()
    try:
        for subject, possible in known.items():
            kind, _, name = subject.partition(" ")
            found = _LOOKS[kind](engine, name)
            assert found in possible, f"{when}: {subject}: {found}, not {set(possible)}"
        assert engine.fsck() == [], f"{when}: {engine.log()[-3000:]}"
        assert engine.says("busybox", "echo", "x") == "x\n"
        _use_what_is_there(engine)
    finally:
        _leave(engine)


def _use_what_is_there(engine: RunningEngine) -> None:
    """Every container can be started, or started again, and removed."""
    for one in engine.client.get("/containers/json?all=1"):
        id_ = one["Id"]
        engine.start_container(id_)
        engine.output(id_)
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
    assert engine.fsck() == []


def _container(engine: RunningEngine, id_: str) -> Value:
    try:
        state = engine.inspect(id_)["State"]
    except Error:
        return GONE
    if state["Status"] == "created":
        return NEW
    assert state["Status"] == "exited", state
    return RAN if state["ExitCode"] == 255 else int(state["ExitCode"])


def _service(engine: RunningEngine, id_: str) -> Value:
    """Return what became of what shall always run; it is started after the engine is there."""
    if _container_is(engine, id_, "created"):
        return NEW
    return GONE if _container_is(engine, id_, "") else _running(engine, id_)


def _container_is(engine: RunningEngine, id_: str, status: str) -> bool:
    try:
        return bool(engine.inspect(id_)["State"]["Status"] == status)
    except Error:
        return not status


def _running(engine: RunningEngine, id_: str) -> Value:
    return eventually(
        lambda: str(engine.inspect(id_)["State"]["Status"]), lambda found: found == "running"
    )


def _name(engine: RunningEngine, id_: str) -> Value:
    try:
        name = str(engine.inspect(id_)["Name"]).removeprefix("/")
    except Error:
        return GONE
    return name if name.startswith("renamed-") else ""


def _image(engine: RunningEngine, name: str) -> Value:
    try:
        return str(engine.image(name)["Id"])
    except (Error, ProgressError):
        return GONE


def _pulled(engine: RunningEngine, name: str) -> Value:
    return GONE if _image(engine, name) == GONE else THERE


_LOOKS: dict[str, Callable[[RunningEngine, str], Value]] = {
    "container": _container,
    "service": _service,
    "name": _name,
    "image": _image,
    "pulled": _pulled,
}
