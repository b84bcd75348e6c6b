"""The machine runs out of something: clear errors, and everything that was there is intact."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.errors import Error, Unavailable
from casemate.http.client import Client
from support.engine import PREFIX, ProgressError, RunningEngine, busybox_tar, eventually
from support.engines import Start, place, require
from support.images import tar

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


@contextlib.contextmanager
def full(directory: str) -> Iterator[None]:
    """Leave no byte free meanwhile."""
    path = f"{directory}/ballast"
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with open(f"{path}2", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    yield
    os.unlink(path)
    os.unlink(f"{path}2")


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
        created = []
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


def test_a_store_that_became_read_only(engine_on_it: RunningEngine, small_disk: str) -> None:
    engine = engine_on_it
    ended = engine.run_container("busybox", "sh", "-c", "echo kept; exit 5")
    engine.wait(ended)
    # As ext4 does when it meets an error on the disk.
    subprocess.run(["mount", "-o", "remount,abort", small_disk], check=True)
    with pytest.raises(Unavailable, match="read-only file system"):
        engine.create("busybox", "true")
    with pytest.raises((Unavailable, ProgressError), match="read-only file system"):
        engine.progress("/images/create?fromSrc=-&repo=x", tar({"x": b"x"}))
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


def test_too_few_descriptors(start_engine: Start) -> None:
    if not shutil.which("prlimit"):
        pytest.skip("needs prlimit: apt install util-linux")
    engine = start_engine(prefix=("prlimit", "--nofile=64:64"))
    engine.import_image(busybox_tar(), "busybox")
    ids: list[str] = []
    with pytest.raises(Unavailable, match="too many open files") as caught:
        for _ in range(40):
            ids.append(engine.create("busybox", "sleep", "1000"))
            engine.start_container(ids[-1])
    assert "internal error" not in caught.value.message
    failed = ids.pop()
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


@contextlib.contextmanager
def few_processes(engine: RunningEngine, more: int) -> Iterator[None]:
    """Let the engine and what it spawns have only ``more`` processes or threads than it has."""
    top = next(iter(Path("/sys/fs/cgroup").glob("pids")), None)
    if top is None:
        pytest.skip("needs the pids controller of cgroups version 1")
    own = top / f"casemate-test-{os.getpid()}"
    own.mkdir()
    assert engine.process
    try:
        (own / "cgroup.procs").write_text(str(engine.process.pid))
        now = int((own / "pids.current").read_text())
        (own / "pids.max").write_text(str(now + more))
        yield
    finally:
        for pid in (own / "cgroup.procs").read_text().split():
            (top / "cgroup.procs").write_text(pid)
        eventually(lambda: _removed(own), bool)


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except OSError:
        return False
    return True


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
