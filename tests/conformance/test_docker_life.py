"""A container's life in the words of docker's command, ours and docker-py."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import Command
from support.engine import RunningEngine, eventually
from support.lives import reaches, restarts, wait_longest

pytestmark = pytest.mark.root

STATE = "{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.Restarting}}"


@pytest.fixture(params=["docker", "casemate"])
def command(
    engine: RunningEngine, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Command]:
    if request.param == "docker" and not shutil.which("docker"):
        pytest.skip("needs docker's command")
    yield Command(request.param, engine.socket, str(tmp_path))


def test_pause_and_unpause(command: Command) -> None:
    for name in ("one", "two"):
        command("run", "-d", "--name", name, "busybox", "sleep", "1000")
    assert command("pause", "one", "two") == "one\ntwo\n"
    assert command("inspect", "-f", STATE, "one") == "paused true true false\n"
    shown = command("ps", "--format", "{{.Names}} {{.State}} {{.Status}}")
    assert re.fullmatch(r"(?:(?:one|two) paused Up .*\(Paused\)\n){2}", shown)
    assert command("ps", "-q", "--filter", "status=paused").count("\n") == 2
    for words, said in (
        (("pause", "one"), "is already paused"),
        (("exec", "one", "true"), "is paused, unpause the container before exec"),
        (("attach", "one"), "ou cannot attach to a paused container, unpause it first"),
        (("start", "one"), "cannot start a paused container, try unpause instead"),
        (("rm", "one"), "container is paused and must be unpaused first"),
    ):
        failed = command.run(*words)
        assert failed.code == 1 and said in failed.err, (words, failed)
    assert command("unpause", "one") == "one\n"
    failed = command.run("unpause", "one", "two")
    assert (failed.code, failed.out) == (1, "two\n") and "is not paused" in failed.err
    assert command("exec", "two", "echo", "on") == "on\n"


def test_restart(command: Command) -> None:
    command("run", "-d", "--name", "one", "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
    before = command("port", "one") if command.name == "docker" else ""
    pid = command("inspect", "-f", "{{.State.Pid}}", "one")
    failed = command.run("restart", "-t", "0", "one", "nope")
    assert (failed.code, failed.out) == (1, "one\n") and "No such container: nope" in failed.err
    assert command("inspect", "-f", "{{.State.Pid}}", "one") != pid
    assert before == (command("port", "one") if command.name == "docker" else "")


def test_rename(command: Command) -> None:
    command("create", "--name", "old", "busybox")
    command("create", "--name", "other", "busybox")
    assert command("rename", "old", "new") == ""
    assert command("inspect", "-f", "{{.Name}}", "new") == "/new\n"
    failed = command.run("rename", "new", "other")
    assert failed.code == 1 and "already in use by container" in failed.err
    assert "failed to rename container" in failed.err
    assert command.run("rename", "new").code == 1


def test_update(command: Command) -> None:
    words = ("run", "-d", "-m", "32m", "busybox", "sleep", "1000")
    command(*words[:2], "--name", "one", *words[2:])
    assert command("update", "-m", "48m", "--pids-limit", "9", "--cpus", "0.5", "one") == "one\n"
    form = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}}"
    assert command("inspect", "-f", form, "one") == f"{48 << 20} 9 500000000\n"
    assert command("update", "--restart", "unless-stopped", "one") == "one\n"
    form = "{{.HostConfig.RestartPolicy.Name}}"
    assert command("inspect", "-f", form, "one") == "unless-stopped\n"
    for options, said in (
        ((), "you must provide one or more flags when using this command"),
        (("-m", "1g"), "update the memoryswap at the same time"),
        (("--cpu-quota", "50000"), "CPU Quota cannot be updated as NanoCPUs has already been set"),
        (("--restart", "x"), "unknown policy 'x'"),
    ):
        failed = command.run("update", *options, "one")
        assert failed.code == 1 and said in failed.err, failed


def test_restart_policies(command: Command, engine: RunningEngine) -> None:
    command("run", "-d", "--name", "one", "--restart", "on-failure:2", "busybox", "false")
    restarts(engine, "one", 2)
    reaches(engine, "one", "exited")
    assert command("inspect", "-f", "{{.RestartCount}}", "one") == "2\n"
    failed = command.run("run", "--rm", "--restart", "always", "busybox", "true")
    assert failed.code == 125
    assert "conflicting options: cannot specify both --restart and --rm" in failed.err
    said = command.run("run", "--name", "two", "--restart", "always", "busybox", "sh", "-c",
                       "echo x; exit 4")  # fmt: skip
    assert (said.code, said.out) == (4, "x\n")
    assert command("stop", "two") == "two\n"
    assert command("inspect", "-f", STATE, "two") == "exited false false false\n"


def test_between_two_runs(tmp_path: Path, own_engine: RunningEngine) -> None:
    own_engine.run_container("busybox", "false", name="one", RestartPolicy={"Name": "always"})
    reaches(own_engine, "one", "restarting")
    wait_longest(own_engine, "one")
    for name in ("docker", "casemate"):
        if name == "docker" and not shutil.which("docker"):
            continue
        command = Command(name, own_engine.socket, str(tmp_path))
        shown = command("ps", "--format", "{{.State}} {{.Status}}")
        assert re.fullmatch(r"restarting Restarting \(1\) .* ago\n", shown)
        assert command("inspect", "-f", STATE, "one") == "restarting true false true\n"
        for words, said in (
            (("exec", "one", "true"), "is restarting, wait until the container is running"),
            (("pause", "one"), "is restarting, wait until the container is running"),
            (("rm", "one"), "container is restarting: stop the container before removing"),
            (("attach", "one"), "ou cannot attach to a restarting container"),
        ):
            failed = command.run(*words)
            assert failed.code == 1 and said in failed.err, (words, failed)
        assert command("start", "one") == "one\n"


def test_events_of_a_life(command: Command, engine: RunningEngine) -> None:
    wanted = ("start", "pause", "unpause", "rename", "update", "die", "restart", "stop")
    filters = [word for event in wanted for word in ("-f", f"event={event}")]
    with command.started("events", "--format", "{{json .}}", *filters) as child:
        assert child.stdout
        eventually(lambda: _listeners(engine), lambda count: count > 0)
        command("run", "-d", "--name", "one", "--label", "a=b", "busybox", "sleep", "1000")
        command("pause", "one")
        command("unpause", "one")
        command("rename", "one", "two")
        command("update", "--cpu-shares", "100", "two")
        command("restart", "-t", "0", "two")
        command("stop", "-t", "0", "two")
        lines = [json.loads(child.stdout.readline()) for _ in range(11)]
        child.kill()
    assert [line["Action"] for line in lines] == [
        *("start", "pause", "unpause", "rename", "update", "die", "stop", "start", "restart"),
        *("die", "stop"),
    ]
    attributes = [line["Actor"]["Attributes"] for line in lines]
    assert {(a["image"], a["a"]) for a in attributes} == {("busybox", "b")}
    assert [a["name"] for a in attributes] == ["one"] * 3 + ["two"] * 8
    assert attributes[3]["oldName"] == "/one"
    assert attributes[5]["exitCode"] == "137" and attributes[5]["execDuration"].isdigit()


def _listeners(engine: RunningEngine) -> int:
    found: int = engine.client.get("/info")["NEventsListener"]
    return found


def test_docker_py(engine: RunningEngine) -> None:
    docker: Any = pytest.importorskip("docker", reason="needs docker-py: pip install docker")
    client = docker.DockerClient(base_url=f"unix://{engine.socket}", version="auto")
    policy = {"Name": "on-failure", "MaximumRetryCount": 3}
    container = client.containers.run(
        "busybox", ["sleep", "1000"], detach=True, restart_policy=policy, mem_limit="32m"
    )
    container.pause()
    container.reload()
    assert container.status == "paused"
    with pytest.raises(docker.errors.APIError) as caught:
        container.exec_run("true")
    assert caught.value.status_code == 409
    container.unpause()
    container.rename("other")
    container.update(mem_limit="40m", cpu_shares=77, restart_policy={"Name": "always"})
    container.restart(timeout=0)
    container.reload()
    assert (container.status, container.name) == ("running", "other")
    host = container.attrs["HostConfig"]
    assert (host["Memory"], host["CpuShares"]) == (40 << 20, 77)
    assert host["RestartPolicy"]["Name"] == "always"
    container.stop(timeout=0)
    assert container.wait(condition="not-running")["StatusCode"] == 137
    container.remove()
    client.close()
