"""Limits and groups in the words of docker's command, ours and docker-py."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import Command
from support.engine import RunningEngine
from support.groups import MIB, GroupsOf, remove_containers

pytestmark = pytest.mark.root


@pytest.fixture(params=["docker", "casemate"])
def command(
    engine: RunningEngine, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Command]:
    if request.param == "docker" and not shutil.which("docker"):
        pytest.skip("needs docker's command")
    yield Command(request.param, engine.socket, str(tmp_path))


@pytest.fixture
def ours(engine: RunningEngine, tmp_path: Path) -> Command:
    return Command("casemate", engine.socket, str(tmp_path))


@pytest.fixture
def groups(engine: RunningEngine) -> Iterator[GroupsOf]:
    found = GroupsOf(engine)
    yield found
    remove_containers(engine)
    found.clear()
    found.close()


def test_a_group_is_a_cgroup_parent(command: Command, groups: GroupsOf) -> None:
    groups.create("ci", Memory=64 * MIB)
    command("run", "-d", "--name", "one", "--cgroup-parent", "ci", "busybox", "sleep", "1000")
    place, parent = command(
        "inspect", "-f", "{{.Cgroup}} {{.HostConfig.CgroupParent}}", "one"
    ).split()
    assert place.startswith(groups.inspect("ci")["Cgroup"]) and parent == "ci"
    failed = command.run("run", "--rm", "--cgroup-parent", "ci", "-m", "65m", "busybox", "true")
    assert failed.code == 125
    assert "--memory 68157440: that is more than the 67108864 of group ci" in failed.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cpus", "9999"), "range of CPUs is from 0.01 to "),
        (("--cpuset-cpus", "x"), "Invalid value x for cpuset cpus"),
        (("--cpuset-mems", "99"), "Requested memory nodes are not available - requested 99"),
        (("-m", "4611686018427387904b"), "the kernel takes less than"),
        (("--memory-reservation", "1m"), "Minimum memory reservation allowed is 6MB"),
        (("--device-read-bps", "/dev/nix:1mb"), "stat /dev/nix: no such file or directory"),
        (("--blkio-weight", "3"), "Range of blkio weight is from 10 to 1000"),
        (("--cpu-rt-runtime", "1000"), "--cpu-rt-runtime is not supported"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    command: Command, options: tuple[str, ...], said: str
) -> None:
    failed = command.run("run", "--rm", *options, "busybox", "true")
    # Docker's command takes "no such file" for a program's.
    assert failed.code == (127 if "no such file" in said else 125) and said in failed.err
    assert command("ps", "-aq") == ""


def test_to_have_no_oom_killer_is_warned_of(command: Command) -> None:
    done = command.run("create", "--oom-kill-disable", "busybox")
    assert done.code == 0 and "OOM killer is disabled for the container, but no memory" in done.err


def test_groups_by_command(ours: Command, groups: GroupsOf) -> None:
    limits = ("--memory", "64m", "--cpus", "1.5", "--pids-limit", "50")
    assert ours("group", "create", "ci", *limits) == "ci\n"
    assert ours("group", "create", "--parent", "ci", "build") == "build\n"
    assert ours("run", "--rm", "--group", "build", "busybox", "echo", "on") == "on\n"
    ours("run", "-d", "--name", "one", "--group", "build", "busybox", "sleep", "1000")
    lines = ours("group", "ls").splitlines()
    assert lines[0].split()[:3] == ["GROUP", "PARENT", "CONTAINERS"]
    assert [line.split()[0] for line in lines[1:]] == ["ci", "build"]
    assert "/ 64MiB" in lines[1] and "1 / 50" in lines[1] and " 1.5 " in lines[1]
    assert ours("group", "ls", "-q") == "ci\nbuild\n"
    assert ours("group", "inspect", "-f", "{{.Parent}} {{len .Containers}}", "build") == "ci 1\n"
    assert ours("group", "update", "--memory", "128m", "--cpus", "0", "ci") == "ci\n"
    found = json.loads(ours("group", "inspect", "ci"))[0]
    assert (found["InForce"]["Memory"], found["InForce"]["CpuQuota"]) == (128 * MIB, -1)
    assert "group ci" in ours("walls", "one")
    failed = ours.run("group", "rm", "build", "ci")
    assert failed.code == 1
    assert "cannot remove group build: container one is inside" in failed.err
    assert "cannot remove group ci: group build is inside" in failed.err
    ours("rm", "-f", "one")
    assert ours("group", "rm", "build", "ci") == "build\nci\n"
    assert ours("group", "ls", "-q") == ""
    failed = ours.run("run", "--rm", "--group", "ci", "busybox", "true")
    assert failed.code == 125 and "invalid --group 'ci': there is no such group" in failed.err


def test_huge_pages_by_command(ours: Command) -> None:
    wrong = ours.run("run", "--rm", "--hugepage-limit", "2MB", "busybox", "true")
    assert wrong.code == 125 and "expected SIZE=BYTES" in wrong.err
    wrong = ours.run("run", "--rm", "--hugepage-limit", "3MB=4m", "busybox", "true")
    assert wrong.code == 125 and "invalid --hugepage-limit 3MB: this machine has" in wrong.err


def test_docker_py_limits_and_groups(engine: RunningEngine, groups: GroupsOf) -> None:
    docker = pytest.importorskip("docker")
    groups.create("ci", Memory=64 * MIB)
    client = docker.DockerClient(f"unix://{engine.socket}")
    try:
        container = client.containers.run(
            "busybox", "sleep 1000", detach=True, cgroup_parent="ci", mem_limit="32m",
            nano_cpus=500_000_000, pids_limit=9, oom_kill_disable=False, mem_swappiness=None,
        )  # fmt: skip
        container.reload()
        assert container.attrs["Cgroup"].startswith(groups.inspect("ci")["Cgroup"])
        container.update(mem_limit="48m", memswap_limit="96m", cpu_shares=300)
        container.reload()
        assert container.attrs["HostConfig"]["Memory"] == 48 * MIB
        with pytest.raises(docker.errors.APIError, match="more than the 67108864 of group ci"):
            container.update(mem_limit="80m", memswap_limit="96m")
        stats = container.stats(stream=False)
        assert stats["memory_stats"]["limit"] == 48 * MIB
    finally:
        client.close()
