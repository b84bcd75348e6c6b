"""A container that was to vanish is gone, and its engine with it; its exit status is told."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from casemate.errors import NotFound
from support.commands import Command
from support.engine import RunningEngine, eventually

pytestmark = pytest.mark.root

WAITS = "echo ready; while [ ! -e /go ]; do sleep 0.02; done; exit 3"


def let_go(pid: int) -> None:
    """Have the container end whose first process has the ``pid``."""
    Path(f"/proc/{pid}/root/go").touch()


def test_another_engine_tells_it(own_engine: RunningEngine) -> None:
    engine = own_engine
    id_ = engine.run_container("busybox", "sh", "-c", WAITS, AutoRemove=True)
    pid = engine.inspect(id_)["State"]["Pid"]
    engine.kill()
    let_go(pid)
    engine.start()
    eventually(lambda: engine.client.get("/containers/json?all=1"), lambda found: not found)
    for _ in range(2):
        engine.kill()
        engine.start()
        told = engine.client.post(f"/containers/{id_}/wait?condition=removed")
        assert told["StatusCode"] == 3
    for condition in ("", "not-running", "next-exit"):
        with pytest.raises(NotFound):
            engine.client.post(f"/containers/{id_}/wait?condition={condition}")
    with pytest.raises(NotFound):
        engine.client.post(f"/containers/{id_[:12]}/wait?condition=removed")


def test_what_somebody_removed_is_not_found(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "true")
    engine.wait(id_)
    engine.client.call("DELETE", f"/containers/{id_}")
    with pytest.raises(NotFound):
        engine.client.post(f"/containers/{id_}/wait?condition=removed")


def test_run_ends_with_it(own_engine: RunningEngine, tmp_path: Path) -> None:
    """The command starts another engine, which removes the container and tells of its end."""
    engine = own_engine
    command = Command("casemate", engine.socket, str(tmp_path))
    words = [*command.words[:-2], "--root", engine.root, "--run", engine.run]
    words += ["run", "--rm", "busybox", "sh", "-c", WAITS]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=command.environment) as child:
        assert child.stdout and child.stdout.readline() == b"ready\n"
        (one,) = engine.client.get("/containers/json")
        pid = engine.inspect(one["Id"])["State"]["Pid"]
        engine.kill()
        let_go(pid)
        assert child.wait(30) == 3
    _end_the_other_engine(engine)


def _end_the_other_engine(engine: RunningEngine) -> None:
    with open(f"{engine.run}/engine.lock", encoding="ascii") as file:
        pidfd = os.pidfd_open(int(file.read()))
    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)


def test_a_start_that_a_crash_has_cut_short_can_be_made_again(own_engine: RunningEngine) -> None:
    """Its root was mounted volatile, and overlayfs takes no such root a second time."""
    engine = own_engine
    id_ = engine.create("busybox", "sleep", "1000", AutoRemove=True)
    os.makedirs(f"{engine.root}/snapshots/{id_}/work/work/incompat/volatile")
    engine.start_container(id_)
    assert engine.inspect(id_)["State"]["Running"]
