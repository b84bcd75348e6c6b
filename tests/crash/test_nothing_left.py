"""The machine runs out of something: clear errors, and everything that was there is intact."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from casemate.errors import Error, Unavailable
from casemate.http.client import Client
from support.engine import PREFIX, ProgressError, RunningEngine, busybox_tar, eventually
from support.engines import Start, place, require
from support.hubs import fill
from support.images import docker_archive, tar
from support.registry import FakeRegistry
from support.scarcity import few_processes, full, little_memory

pytestmark = pytest.mark.root

TALKS = "i=0; while [ ! -e /tmp/stop ]; do i=$((i+1)); echo $i; sleep 0.01; done; exit 7"


@pytest.fixture
def small_disk() -> Iterator[str]:
    """A file system of 64 MiB of its own."""
    require()
    directory = place()
    image, mounted = f"{directory}/disk", f"{directory}/mounted"
    os.mkdir(mounted)
    subprocess.run(["truncate", "-s", "64M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-m0", image], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, mounted], check=False, capture_output=True)
    if done.returncode:
        shutil.rmtree(directory)
        pytest.skip(f"needs a loop device: {done.stderr.decode().strip()}")
    yield mounted
    subprocess.run(["umount", "-l", mounted], check=True)
    shutil.rmtree(directory)


@pytest.fixture
def engine_on_it(small_disk: str) -> Iterator[RunningEngine]:
    engine = RunningEngine(small_disk)
    engine.start()
    engine.import_image(busybox_tar(), "busybox", 'CMD ["sh"]')
    yield engine
    engine.remove_what_can_be_removed()


# ---- the disk is full ----


@pytest.fixture
def hub() -> Iterator[str]:
    """A registry with some images."""
    with FakeRegistry() as registry:
        yield fill(registry)


FULL = r"(?i)no space|is full"
Verb = Callable[[RunningEngine, str], object]


def _import(engine: RunningEngine, hub: str) -> None:
    engine.progress("/images/create?fromSrc=-&repo=big", tar({"big": os.urandom(1 << 20)}))


def _load(engine: RunningEngine, hub: str) -> None:
    engine.load(tar(docker_archive({"layer.tar": tar({"big": os.urandom(1 << 20)})})))


def _copy(engine: RunningEngine, hub: str) -> None:
    archive = tar({"big": os.urandom(1 << 20)})
    with engine.client.request("PUT", "/containers/ended/archive?path=/", archive) as reply:
        reply.read()


VERBS: dict[str, Verb] = {
    "pull": lambda engine, hub: engine.pull(f"{hub}:1"),
    "import": _import,
    "load": _load,
    "commit": lambda engine, hub: engine.client.post("/commit?container=ended&repo=x"),
    "copy": _copy,
}


def test_verbs_on_a_full_disk_say_so_leave_nothing_and_succeed_later(
    engine_on_it: RunningEngine, small_disk: str, hub: str
) -> None:
    engine = engine_on_it
    script = "head -c 3000000 /dev/urandom > /data; exit 5"
    engine.run_container("busybox", "sh", "-c", script, name="ended")
    assert engine.wait("ended") == 5
    before = engine.stored()
    with full(small_disk):
        for name, verb in VERBS.items():
            with pytest.raises((Unavailable, ProgressError), match=FULL):
                verb(engine, hub)
            assert engine.inspect("ended")["State"]["ExitCode"] == 5, name
    assert engine.stored() == before
    assert engine.fsck() == []
    for verb in VERBS.values():
        verb(engine, hub)
    assert engine.fsck() == []


def test_containers_on_a_full_disk_start_or_say_why_not(
    engine_on_it: RunningEngine, small_disk: str
) -> None:
    engine = engine_on_it
    ids = [engine.create("busybox", "sh", "-c", "echo said; exit 3") for _ in range(5)]
    with full(small_disk):
        for id_ in ids:
            try:
                engine.start_container(id_)
            except Unavailable as error:
                assert re.search(FULL, error.message), error
                state = engine.inspect(id_)["State"]
                assert (state["Status"], state["Error"]) == ("created", error.message)
            else:
                # Its end is known whether it can be written down or not; what it said may be lost.
                assert engine.wait(id_) == 3
                assert engine.output(id_)[0] in (b"said\n", b"")
        with pytest.raises((Unavailable, ProgressError), match=FULL):
            while True:
                engine.create("busybox", "true")
    assert engine.fsck() == []
    for id_ in ids[:5]:
        engine.start_container(id_)
        assert engine.wait(id_) == 3
        assert engine.output(id_)[0].endswith(b"said\n")
    engine.kill()
    engine.start()
    assert [engine.inspect(id_)["State"]["ExitCode"] for id_ in ids[:5]] == [3] * 5
    assert engine.fsck() == []


def test_containers_on_a_full_disk_can_be_removed(
    engine_on_it: RunningEngine, small_disk: str
) -> None:
    """Who has no room must be able to make some."""
    engine = engine_on_it
    script = "head -c 3000000 /dev/urandom > /data; sleep 1000"
    id_ = engine.run_container("busybox", "sh", "-c", script)
    with full(small_disk):
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
        eventually(lambda: os.listdir(f"{engine.root}/trash"), lambda found: not found)
        assert engine.says("busybox", "echo", "x") == "x\n"
        engine.client.post("/images/prune")
    assert engine.fsck() == []


def test_a_full_disk(engine_on_it: RunningEngine, small_disk: str) -> None:
    engine = engine_on_it
    talker = engine.run_container("busybox", "sh", "-c", TALKS, Tmpfs={"/tmp": ""})
    ended = engine.run_container("busybox", "sh", "-c", "echo kept; exit 5")
    engine.wait(ended)
    with full(small_disk):
        for attempt in range(3):
            with pytest.raises((Unavailable, ProgressError), match=r"no space|disk .*full|is full"):
                engine.progress(
                    f"/images/create?fromSrc=-&repo=big{attempt}",
                    tar({"big": os.urandom(1 << 20)}),
                )
        # Creating may still fit into what the file systems keep; it works or says what is wrong.
        created: list[str] = []
        with contextlib.suppress(Unavailable):
            created.extend(engine.create("busybox", "true") for _ in range(200))
        assert engine.inspect(ended)["State"]["ExitCode"] == 5
        assert engine.output(ended)[0] == b"kept\n"
        assert engine.exec(talker, "touch", "/tmp/stop").code == 0
        assert engine.wait(talker) == 7
        assert engine.inspect(talker)["State"]["Status"] == "exited"
    for id_ in created:
        engine.client.call("DELETE", f"/containers/{id_}")
    assert {c["Id"] for c in engine.client.get("/containers/json?all=1")} == {talker, ended}
    assert engine.says("busybox", "echo", "again") == "again\n"
    engine.start_container(talker)
    assert engine.fsck() == []
    engine.kill()
    engine.start()
    assert engine.inspect(ended)["State"]["ExitCode"] == 5
    assert engine.fsck() == []


def test_an_end_on_a_full_disk_is_known_to_the_next_engine(
    engine_on_it: RunningEngine, small_disk: str
) -> None:
    engine = engine_on_it
    talker = engine.run_container("busybox", "sh", "-c", TALKS, Tmpfs={"/tmp": ""})
    pid = engine.inspect(talker)["State"]["Pid"]
    pidfd = os.pidfd_open(pid)
    with full(small_disk):
        engine.kill()
        with open(f"/proc/{pid}/root/tmp/stop", "w"):
            pass
        assert select.select([pidfd], [], [], 30)[0]
        os.close(pidfd)
    engine.start()
    state = engine.inspect(talker)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 7)


def test_a_store_that_became_read_only(
    engine_on_it: RunningEngine, small_disk: str, hub: str
) -> None:
    engine = engine_on_it
    script = "echo kept; echo x > /data; exit 5"
    ended = engine.run_container("busybox", "sh", "-c", script, name="ended")
    engine.wait(ended)
    talker = engine.run_container("busybox", "sh", "-c", TALKS, Tmpfs={"/tmp": ""})
    idle = engine.create("busybox", "true")
    # As ext4 does when it meets an error on the disk.
    subprocess.run(["mount", "-o", "remount,abort", small_disk], check=True)
    with pytest.raises(Unavailable, match="read-only file system"):
        engine.create("busybox", "true")
    for verb in VERBS.values():
        with pytest.raises((Unavailable, ProgressError), match="read-only file system"):
            verb(engine, hub)
    for method, path in (
        ("POST", f"/containers/{idle}/start"),
        ("POST", f"/containers/{ended}/rename?name=other"),
        ("DELETE", f"/containers/{ended}"),
    ):
        with pytest.raises(Unavailable, match=r"read-?only"):
            engine.client.call(method, path)
    # What runs goes on, and its end is known as long as this engine lives.
    assert engine.exec(talker, "touch", "/tmp/stop").code == 0
    assert engine.wait(talker) == 7
    assert engine.inspect(ended)["State"]["ExitCode"] == 5
    assert engine.output(ended)[0] == b"kept\n"
    assert len(engine.client.get("/images/json")) == 1


def test_an_engine_that_cannot_write_says_so_when_it_starts(tmp_path: Path) -> None:
    require()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "ro", tmp_path], check=True)
    try:
        engine = RunningEngine(str(tmp_path))
        engine._log = "/dev/null"
        with pytest.raises(AssertionError, match=r"(?i)read-only file system"):
            engine.start()
        engine.stop()
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# ---- descriptors ----


def test_too_few_descriptors(start_engine: Start, hub: str) -> None:
    if not shutil.which("prlimit"):
        pytest.skip("needs prlimit: apt install util-linux")
    engine = start_engine(prefix=("prlimit", "--nofile=64:64"))
    engine.import_image(busybox_tar(), "busybox")
    engine.run_container("busybox", "sh", "-c", "echo x > /data; exit 5", name="ended")
    assert engine.wait("ended") == 5
    ids: list[str] = []
    with pytest.raises(Unavailable, match="too many open files") as caught:
        for _ in range(40):
            ids.append(engine.create("busybox", "sleep", "1000"))
            engine.start_container(ids[-1])
    assert "internal error" not in caught.value.message
    # The last one could not be started, or it runs and the next one could not be created.
    failed = ids.pop()
    engine.client.call("POST", f"/containers/{failed}/stop?t=0")
    for verb in VERBS.values():
        try:
            verb(engine, hub)
        except (Unavailable, ProgressError) as error:
            assert "too many open files" in str(error), error
    running = engine.client.get("/containers/json")
    assert len(running) == len(ids) > 5
    for id_ in ids[:5]:
        engine.client.call("DELETE", f"/containers/{id_}?force=1")
    engine.start_container(failed)
    assert engine.exec(failed, "echo", "x").out == b"x\n"
    assert engine.fsck() == []
    for id_ in (*ids[5:], failed):
        engine.client.call("DELETE", f"/containers/{id_}?force=1")


def test_too_many_connections(start_engine: Start) -> None:
    if not shutil.which("prlimit"):
        pytest.skip("needs prlimit: apt install util-linux")
    engine = start_engine(prefix=("prlimit", "--nofile=64:64"))
    engine.import_image(busybox_tar(), "busybox")
    engine.client.close()
    with contextlib.ExitStack() as many:
        for _ in range(100):
            sock = many.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(engine.socket)
    assert engine.says("busybox", "echo", "x") == "x\n"


# ---- processes ----


def test_no_more_processes(start_engine: Start) -> None:
    engine = start_engine("--warm-rooms", "0")
    engine.import_image(busybox_tar(), "busybox")
    running = engine.run_container("busybox", "sleep", "1000")
    id_ = engine.create("busybox", "true")
    with few_processes(engine, 0):
        with pytest.raises(Unavailable, match="cannot start a supervisor"):
            engine.start_container(id_)
        assert engine.inspect(running)["State"]["Running"]
        assert engine.exec(running, "echo", "x").out == b"x\n"
    with few_processes(engine, 1), pytest.raises(Error) as caught:
        engine.start_container(id_)  # a supervisor, but no room
    assert "internal error" not in caught.value.message
    engine.start_container(id_)
    assert engine.wait(id_) == 0
    assert engine.fsck() == []


def test_memory_is_no_more_after_much_work(own_engine: RunningEngine) -> None:
    """A thousand of the cheap questions: nothing grows."""
    engine = own_engine
    id_ = engine.run_container("busybox", "sleep", "1000")
    paths = ("/containers/json?all=1", f"/containers/{id_}/json", "/images/json", "/info")

    def ask() -> None:
        client = Client(f"unix://{engine.socket}", PREFIX)
        for path in paths:
            client.get(path)
        client.close()

    for _ in range(100):
        ask()
    before = engine.resident_kib()
    for _ in range(400):
        ask()
    assert engine.resident_kib() - before < 4000


def test_verbs_without_another_thread_say_so_and_succeed_later(
    start_engine: Start, hub: str
) -> None:
    engine = start_engine("--warm-rooms", "0")
    engine.import_image(busybox_tar(), "busybox")
    engine.run_container("busybox", "sh", "-c", "echo x > /data; exit 5", name="ended")
    assert engine.wait("ended") == 5
    running = engine.run_container("busybox", "sleep", "1000")
    before = engine.stored()
    verbs = {name: verb for name, verb in VERBS.items() if name != "commit"}
    with few_processes(engine, 0):
        for verb in verbs.values():
            with pytest.raises((Unavailable, ProgressError), match="no more threads"):
                verb(engine, hub)
        # These have their threads from the engine's start on.
        assert engine.wait("ended") == 5
        engine.client.post(f"/containers/{running}/pause")
        engine.client.post(f"/containers/{running}/unpause")
        assert engine.exec(running, "echo", "x").out == b"x\n"
        created = engine.create("busybox", "true")
        engine.client.call("DELETE", f"/containers/{running}?force=1")
    assert engine.stored() == before
    assert {c["Id"] for c in engine.client.get("/containers/json?all=1")} >= {created}
    assert engine.fsck() == []
    for verb in VERBS.values():
        verb(engine, hub)
    assert engine.fsck() == []


# ---- memory ----


@pytest.mark.parametrize("more_mib", [1, 4])
def test_an_engine_that_is_killed_for_want_of_memory_has_lost_nothing(
    own_engine: RunningEngine, hub: str, more_mib: int
) -> None:
    """Where the kernel finds none, it kills; with that much more the engine may do as well."""
    engine = own_engine
    engine.run_container("busybox", "sh", "-c", "echo x > /data; exit 5", name="ended")
    assert engine.wait("ended") == 5
    running = engine.run_container("busybox", "sleep", "1000")
    assert engine.process
    with little_memory(engine, more_mib << 20):
        done = [name for name, verb in VERBS.items() if _succeeds(engine, hub, verb)]
    engine.kill()  # unless the kernel has, or is about to
    engine.start()
    assert engine.inspect("ended")["State"]["ExitCode"] == 5
    assert engine.exec(running, "echo", "x").out == b"x\n"
    names = {name for image in engine.client.get("/images/json") for name in image["RepoTags"]}
    expected = {"pull": f"{hub}:1", "import": "big:latest", "commit": "x:latest"}
    assert names >= {name for verb, name in expected.items() if verb in done}
    assert engine.fsck() == []
    for verb in VERBS.values():
        verb(engine, hub)


def _succeeds(engine: RunningEngine, hub: str, verb: Verb) -> bool:
    try:
        verb(engine, hub)
    except (Unavailable, ProgressError, OSError):
        return False
    return True
