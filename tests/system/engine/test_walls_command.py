"""The walls of a running container: as they are set, and as the kernel has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from casemate.errors import Conflict, NotFound
from support.engine import RunningEngine, hierarchies

pytestmark = pytest.mark.root

Walls = dict[str, dict[str, Any]]


def walls(engine: RunningEngine, id_: str) -> Walls:
    found = engine.client.get(f"/casemate/containers/{id_}/walls")
    return {wall["Name"]: wall for wall in found["Walls"]}


def running(engine: RunningEngine, **host: object) -> str:
    return engine.run_container("busybox", "sleep", "1000", **host)


def fallen(found: Walls) -> list[str]:
    return [name for name, wall in found.items() if wall["Holds"] is False]


def origins(found: Walls) -> set[str]:
    return {wall["From"] for wall in found.values()}


def test_a_container_has_the_walls_of_its_profile(engine: RunningEngine) -> None:
    id_ = running(engine)
    found = walls(engine, id_)
    assert fallen(found) == []
    assert origins(found) == {"profile container", "default"}
    pid = engine.inspect(id_)["State"]["Pid"]
    assert found["pid namespace"]["Kernel"] == f"own {os.readlink(f'/proc/{pid}/ns/pid')}"
    assert found["user namespace"]["Kernel"] == f"host {os.readlink('/proc/self/ns/user')}"
    assert found["tasks"]["Kernel"] == "2048"
    assert found["seccomp"]["Setting"] == "default" and found["seccomp"]["Kernel"] == "filter"
    assert int(found["bounding capabilities"]["Kernel"], 16).bit_count() == 11
    assert not found["masked paths"]["Kernel"].startswith("0 closed")
    assert found["Landlock"]["Setting"] == "not asked"


def test_a_sandbox_has_more_walls(engine: RunningEngine) -> None:
    found = walls(engine, running(engine, Isolation="sandbox"))
    assert set(fallen(found)) <= {"Landlock"}  # which not every kernel has
    assert origins(found) == {"profile sandbox", "default"}
    assert found["user mapping"]["Kernel"].startswith("0 is ")
    assert found["root"]["Kernel"] == "read-only"
    assert found["no new privileges"]["Kernel"] == "yes"
    assert found["effective capabilities"]["Setting"] == "KILL SETGID SETUID"
    assert found["Landlock"]["Setting"] == "asked"


def test_an_option_that_moves_a_wall_is_named(engine: RunningEngine) -> None:
    options = {
        "PidMode": "host",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["seccomp=unconfined", "no-new-privileges"],
        "ReadonlyRootfs": True,
        "PidsLimit": 77,
        "Memory": 64 << 20,
        "NanoCpus": 500_000_000,
        "OomScoreAdj": 100,
    }
    found = walls(engine, running(engine, **options))
    assert fallen(found) == []
    for name, option, kernel in (
        ("pid namespace", "--pid", f"host {os.readlink('/proc/self/ns/pid')}"),
        ("effective capabilities", "--cap-drop", f"{0:016x}"),
        ("seccomp", "--security-opt seccomp", "none"),
        ("no new privileges", "--security-opt no-new-privileges", "yes"),
        ("root", "--read-only", "read-only"),
        ("tasks", "--pids-limit", "77"),
        ("memory in bytes", "--memory", str(64 << 20)),
        ("processors in µs of time", "--cpus", "50000 of 100000"),
        ("OOM score adjustment", "--oom-score-adj", "100"),
    ):
        assert (found[name]["From"], found[name]["Kernel"]) == (f"option {option}", kernel)


def test_privileged_and_init(engine: RunningEngine) -> None:
    found = walls(engine, running(engine, Privileged=True))
    assert fallen(found) == []
    assert found["seccomp"]["From"] == found["masked paths"]["From"] == "option --privileged"
    assert fallen(walls(engine, running(engine, Init=True))) == []


def test_a_namespace_of_another_container_is_compared_with_that(engine: RunningEngine) -> None:
    first = running(engine, name="first")
    second = running(engine, NetworkMode=f"container:{first[:12]}")
    wall = walls(engine, second)["network namespace"]
    assert wall["Setting"] == f"container {first[:12]}"
    assert wall["Holds"] is True
    engine.client.post(f"/containers/{first}/stop?t=0")
    assert walls(engine, second)["network namespace"]["Holds"] is None


def test_a_limit_that_somebody_else_has_changed_is_seen(engine: RunningEngine) -> None:
    id_ = running(engine)
    for path in pids_files(engine.inspect(id_)["State"]["Pid"]):
        with open(path, "w", encoding="ascii") as file:
            file.write("4000")
    found = walls(engine, id_)
    assert fallen(found) == ["tasks"]
    assert (found["tasks"]["Setting"], found["tasks"]["Kernel"]) == ("2048", "4000")


def pids_files(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        below = {line.rstrip("\n").split(":", 2)[2] for line in file}
    paths = [f"{top}{path}/pids.max" for top in hierarchies() for path in below if path != "/"]
    return [path for path in paths if os.path.exists(path)]


def test_a_mask_that_somebody_has_taken_away_is_seen(engine: RunningEngine) -> None:
    id_ = running(engine)
    pid = engine.inspect(id_)["State"]["Pid"]
    inside = ["nsenter", "-t", str(pid), "-m", "-r", "umount", "/proc/timer_list"]
    subprocess.run(inside, check=True, capture_output=True)
    found = walls(engine, id_)
    assert fallen(found) == ["masked paths"]
    assert found["masked paths"]["Kernel"].endswith(", open: /proc/timer_list")


def test_only_of_what_runs(engine: RunningEngine) -> None:
    with pytest.raises(Conflict, match="is not running"):
        walls(engine, engine.create("busybox", "true"))
    with pytest.raises(NotFound, match="nobody"):
        walls(engine, "nobody")


def test_the_command_ends_with_1_when_a_wall_does_not_hold(engine: RunningEngine) -> None:
    id_ = running(engine, name="watched")
    code = "import sys; from casemate.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "-H", f"unix://{engine.socket}", "walls"]
    shown = subprocess.run([*command, "watched"], check=True, capture_output=True, text=True)
    assert "tasks" in shown.stdout and " NO " not in shown.stdout
    for path in pids_files(engine.inspect(id_)["State"]["Pid"]):
        with open(path, "w", encoding="ascii") as file:
            file.write("max")
    shown = subprocess.run(
        [*command, "--format", "json", "watched"], check=False, capture_output=True, text=True
    )
    assert shown.returncode == 1
    document = json.loads(shown.stdout)
    assert document["Name"] == "watched" and document["Isolation"] == "container"
