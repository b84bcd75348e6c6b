"""Files, changes, processes and use of containers: docker's command, ours, and docker-py."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import Command
from support.engine import RunningEngine
from support.images import tar

pytestmark = pytest.mark.root


@pytest.fixture(params=["docker", "casemate"])
def command(engine: RunningEngine, request: pytest.FixtureRequest, tmp_path: Path) -> Command:
    if request.param == "docker" and not shutil.which("docker"):
        pytest.skip("needs docker's command")
    (tmp_path / "config").mkdir()
    return Command(request.param, engine.socket, str(tmp_path / "config"))


@pytest.fixture
def box(command: Command) -> str:
    command("run", "-d", "--name", "box", "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
    return "box"


def test_diff(command: Command, box: str) -> None:
    command("exec", box, "sh", "-c", "echo x > /root/new; rm /etc/passwd")
    assert command("diff", box) == "C /etc\nD /etc/passwd\nC /root\nA /root/new\n"
    assert "No such container: nope" in command.run("diff", "nope").err


def test_top(command: Command, box: str) -> None:
    titles, process = command("top", box).splitlines()
    assert titles.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert process.split()[-2:] == ["sleep", "1000"]
    assert command("top", box, "-o", "pid,args").splitlines()[1].split()[1:] == ["sleep", "1000"]
    command("stop", "-t", "0", box)
    said = command.run("top", box)
    assert said.code == 1 and "is not running" in said.err


def test_port(command: Command, box: str) -> None:
    place = command("port", box, "80").strip()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", place)
    assert command("port", box, "80/tcp").strip() == place
    assert command("port", box) == f"80/tcp -> {place}\n"
    said = command.run("port", box, "81")
    assert said.code == 1 and "public port '81" in said.err


def test_stats(command: Command, box: str) -> None:
    heading, line = command("stats", "--no-stream").splitlines()
    assert re.split(r" {2,}", heading.strip()) == [
        *("CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O"),
        "PIDS",
    ]
    assert re.fullmatch(r"[0-9a-f]{12}", line.split()[0]) and line.split()[1] == box
    found = json.loads(command("stats", "--no-stream", "--format", "json", box))
    assert found["Name"] == found["Container"] == box and found["PIDs"] == "1"
    assert re.fullmatch(r"[\d.]+[KM]iB / [\d.]+GiB", found["MemUsage"])
    form = "{{.Name}} {{.PIDs}}"
    assert command("stats", "--no-stream", "--format", form) == f"{box} 1\n"
    command("create", "--name", "idle", "busybox")
    lines = command("stats", "--no-stream", "--all", "--format", form).splitlines()
    assert sorted(lines) == ["box 1", "idle 0"]
    assert "No such container: nope" in command.run("stats", "--no-stream", "nope").err


def test_stats_on_a_terminal_are_shown_again_and_again(command: Command, box: str) -> None:
    with command.at_terminal("stats", rows=24, columns=120) as terminal:
        for _ in range(2):
            terminal.until("\x1b[H")
            terminal.until(box)
        command("run", "-d", "--name", "later", "busybox", "sleep", "1000")
        terminal.until("later")
        command("rm", "-f", "later")
        terminal.type("\x03")


def test_cp_through_pipes(command: Command, box: str) -> None:
    command("cp", "-", f"{box}:/root", stdin=tar({"a": b"1", "d/": b"", "d/b": b"2"}))
    assert command("exec", box, "cat", "/root/a", "/root/d/b") == "12"
    out = command.raw("cp", f"{box}:/root/d", "-")
    assert tarfile.open(fileobj=io.BytesIO(out)).getnames() == ["d", "d/b"]
    said = command.run("cp", "-", f"{box}:/root/a", stdin=tar({}))
    assert said.code == 1 and said.err == 'destination "box:/root/a" must be a directory\n'


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("a", "b"), "must specify at least one container source"),
        (("box:/a", "box:/b"), "copying between containers is not supported"),
        (("", "box:/"), "source can not be empty"),
        (("box:/nope", "."), "Could not find the file /nope in container box"),
        (("/nope", "box:/"), "no such file or directory"),
        (("box:/bin", "/etc/passwd"), "cannot copy directory"),
    ],
)
def test_what_cannot_be_copied(
    command: Command, box: str, words: tuple[str, str], reason: str
) -> None:
    said = command.run("cp", *words)
    assert said.code == 1 and reason in said.err, said


def test_cp_tells_on_a_terminal_what_it_has_copied(
    command: Command, box: str, tmp_path: Path
) -> None:
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    with command.at_terminal("cp", f"{tmp_path}/large", f"{box}:/root/") as terminal:
        assert "Successfully copied 3MB" in terminal.until("to box:/root/")
        assert terminal.wait() == 0


@pytest.fixture
def client(engine: RunningEngine) -> Iterator[Any]:
    docker = pytest.importorskip("docker", reason="needs docker-py: pip install docker")
    found = docker.DockerClient(base_url=f"unix://{engine.socket}", version="auto")
    yield found
    found.close()


def test_docker_py(client: Any) -> None:
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    assert container.put_archive("/root", tar({"x": b"hello"}))
    pieces, told = container.get_archive("/root/x")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        (info,) = archive
        file = archive.extractfile(info)
        assert file and file.read() == b"hello"
    assert (told["name"], told["size"], told["linkTarget"]) == ("x", 5, "")
    assert {"Path": "/root/x", "Kind": 1} in container.diff()
    assert container.top()["Processes"][0][-1] == "sleep 1000"
    assert container.top(ps_args="-o pid,args")["Titles"] == ["PID", "COMMAND"]
    found = container.stats(stream=False)
    assert found["id"] == container.id and found["pids_stats"]["current"] == 1
    told = container.stats(decode=True)
    assert next(told)["read"] < next(told)["read"]
    container.remove(force=True)


def test_a_container_that_means_harm_reaches_no_file_here(
    engine: RunningEngine, tmp_path: Path
) -> None:
    """Our command unpacks below the target alone, and gives no powers to what it makes."""
    (tmp_path / "config").mkdir()
    (tmp_path / "kept").write_text("kept")
    (tmp_path / "to").mkdir()
    ours = Command("casemate", engine.socket, str(tmp_path / "config"))
    id_ = engine.run_container("busybox", "sleep", "1000")
    ours("cp", "-", f"{id_}:/root", stdin=tar({"s/": b"", "s/out": str(tmp_path), "s/up": ".."}))
    ours("cp", f"{id_}:/root/s/.", f"{tmp_path}/to")
    # What was copied are links; a copy over them replaces or is refused, and follows none.
    engine.exec(
        id_, "sh", "-c", "cd /root/s; rm out up; mkdir out up; echo x > out/kept; cp out/* up"
    )
    ours.run("cp", f"{id_}:/root/s/.", f"{tmp_path}/to")
    assert (tmp_path / "kept").read_text() == "kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config", "kept", "to"]
