"""docs/options.md, held against docker's command, the tests that it names, and the engine."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate.cli.create_options import CREATE_OPTIONS
from support.commands import Command
from support.engine import RunningEngine

_TESTS = Path(__file__).parents[1]
_ROW = re.compile(r"\| `--([a-z0-9-]+)` \| (.*) \| `(?:(.*)/)?(test_\w+)::(test_\w+)` \|")
_TABLE = (_TESTS.parent / "docs/options.md").read_text(encoding="utf-8")
ROWS = {row[0]: row[1:] for row in _ROW.findall(_TABLE)}
#: What each refused option is given to be refused.
VALUES = {
    "cpu-count": "1",
    "cpu-percent": "1",
    "cpu-rt-period": "1000",
    "cpu-rt-runtime": "1000",
    "gpus": "all",
    "io-maxbandwidth": "1",
    "io-maxiops": "1",
    "ip": "172.17.0.9",
    "ip6": "fd00::9",
    "link": "other:o",
    "link-local-ip": "169.254.1.1",
    "log-driver": "syslog",
    "network-alias": "other",
    "runtime": "runc",
    "storage-opt": "size=1G",
    "volume-driver": "other",
}
needs_docker = pytest.mark.skipif(not shutil.which("docker"), reason="needs docker's command")


def test_the_table_has_every_row() -> None:
    assert len(ROWS) == _TABLE.count("\n| `--")
    ours = {"detach", "detach-keys", "sig-proxy", *(option.name for option in CREATE_OPTIONS)}
    assert ROWS.keys() <= ours


@needs_docker
def test_every_option_of_dockers_command_is_in_the_table() -> None:
    said = subprocess.run(["docker", "run", "--help"], capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^\s+(?:-\w, )?--([a-z0-9-]+)", said.stdout, re.MULTILINE))
    assert len(listed) > 90
    assert listed <= ROWS.keys()


@pytest.mark.parametrize("option", ROWS)
def test_the_test_that_shows_it_is_there(option: str) -> None:
    _, folder, file, name = ROWS[option]
    path = _TESTS / (folder or "system/engine") / f"{file}.py"
    assert f"\ndef {name}(" in path.read_text(encoding="utf-8")


@pytest.fixture(params=["docker", "casemate"])
def command(
    engine: RunningEngine, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Command]:
    if request.param == "docker" and not shutil.which("docker"):
        pytest.skip("needs docker's command")
    yield Command(request.param, engine.socket, str(tmp_path))


@pytest.mark.root
def test_every_refusal_is_the_tables(command: Command, engine: RunningEngine) -> None:
    refused = {o: re.findall(r"refused[^`]*`([^`]+)`", row[0]) for o, row in ROWS.items()}
    assert {o for o, messages in refused.items() if messages} == VALUES.keys()
    for option, value in VALUES.items():
        said = command.run("create", f"--{option}", value, "busybox", "true")
        assert said.code != 0 and refused[option][-1] in said.err, (option, said)
    assert engine.client.get("/containers/json?all=1") == []


@pytest.mark.root
def test_files_of_labels(command: Command, engine: RunningEngine, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("# no label\na=1\nb=x=y\n")
    id_ = command("create", "--label-file", str(tmp_path / "labels"), "-l", "a=2", "busybox")
    assert engine.inspect(id_.strip())["Config"]["Labels"] == {"a": "2", "b": "x=y"}


@pytest.mark.root
def test_how_it_is_stopped(command: Command, engine: RunningEngine) -> None:
    script = "trap 'exit 7' USR1; trap '' TERM; echo ready; while :; do read x < /f; done"
    for options, code in ((("--stop-signal", "USR1"), 7), (("--stop-timeout", "0"), 137)):
        id_ = command("run", "-d", *options, "busybox", "sh", "-c", f"mkfifo /f; {script}").strip()
        with engine.client.request("GET", f"/containers/{id_}/logs?stdout=1&follow=1") as reply:
            next(reply.chunks())
        command("stop", id_)
        assert engine.inspect(id_)["State"]["ExitCode"] == code


@pytest.mark.root
def test_all_that_is_exposed_is_published(command: Command, engine: RunningEngine) -> None:
    id_ = command("run", "-d", "-P", "--expose", "80-81", "--expose", "53/udp", "busybox",
                  "sleep", "1000").strip()  # fmt: skip
    found = engine.inspect(id_)
    assert found["Config"]["ExposedPorts"].keys() == {"80/tcp", "81/tcp", "53/udp"}
    ports = found["NetworkSettings"]["Ports"]
    assert all(ports[name][0]["HostPort"] for name in ("80/tcp", "81/tcp", "53/udp"))
