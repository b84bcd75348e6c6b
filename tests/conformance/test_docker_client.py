"""A conversation with every verb, by docker's own command and by ours."""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import Command
from support.engine import RunningEngine, eventually
from support.images import registry, tar

pytestmark = pytest.mark.root


@pytest.fixture(params=["docker", "casemate"])
def command(
    engine: RunningEngine, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Command]:
    if request.param == "docker" and not shutil.which("docker"):
        pytest.skip("needs docker's command")
    (tmp_path / "config").mkdir()
    yield Command(request.param, engine.socket, str(tmp_path / "config"))
    engine.remove_images_but("busybox:latest")


def test_run(command: Command) -> None:
    assert command("run", "--rm", "busybox", "echo", "hello") == "hello\n"
    said = command.run("run", "--rm", "busybox", "sh", "-c", "echo o; echo e >&2; exit 7")
    assert said == (7, "o\n", "e\n")
    assert command("run", "--rm", "-i", "busybox", "cat", stdin=b"in\n") == "in\n"
    assert command("run", "--rm", "-i", "busybox", "wc", "-c", stdin=bytes(1 << 20)).split() == [
        str(1 << 20)
    ]
    assert command("ps", "-aq") == ""


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("busybox", "nope"), 127, "executable file not found in $PATH"),
        (("busybox", "/etc"), 126, "permission denied"),
        (("busybox", "/etc/passwd"), 126, "permission denied"),
        (("--pull=never", "nope"), 125, "No such image"),
        (("--gpus", "all", "busybox"), 125, "--gpus is not supported yet"),
        (("--user", "nope", "busybox", "true"), 125, "unable to find user nope"),
        (("-v", "a@b:/a", "busybox"), 125, "invalid characters for a local volume name"),
    ],
)
def test_what_cannot_be_run(
    command: Command, words: tuple[str, ...], code: int, reason: str
) -> None:
    said = command.run("run", "--rm", *words)
    assert (said.code, said.out) == (code, "")
    assert reason in said.err
    assert command("ps", "-aq") == ""


def test_a_life_in_verbs(command: Command) -> None:
    id_ = command(
        "create", "--name", "lives", "-e", "A=1", "--label", "x=y", "busybox", "sleep", "1000"
    ).strip()
    assert re.fullmatch("[0-9a-f]{64}", id_)
    assert command("start", "lives") == "lives\n"
    assert (
        command("ps", "--format", "{{.Names}} {{.Image}} {{.State}}") == "lives busybox running\n"
    )
    assert command("ps", "-q", "--no-trunc", "--filter", "label=x=y") == f"{id_}\n"
    assert json.loads(command("inspect", "lives"))[0]["Config"]["Labels"] == {"x": "y"}
    assert command("inspect", "-f", "{{.State.Running}}", "lives") == "true\n"
    assert command("exec", "lives", "sh", "-c", "echo $A") == "1\n"
    assert command("exec", "-i", "-u", "bob", "-w", "/tmp", "-e", "B=2", "lives", "sh",
                   stdin=b"id -u; pwd; echo $B; exit 3", code=3) == "1000\n/tmp\n2\n"  # fmt: skip
    assert command.run("exec", "lives", "nope").code == 127
    assert command("kill", "-s", "STOP", "lives") == "lives\n"
    assert command("kill", "-s", "CONT", "lives") == "lives\n"
    assert command("stop", "-t", "0", "lives") == "lives\n"
    assert command("wait", "lives") == "137\n"
    assert command("ps", "-q") == ""
    assert command("start", "lives") == "lives\n"
    assert command.run("rm", "lives").code == 1
    assert command("rm", "-f", "lives") == "lives\n"
    assert command.run("inspect", "lives").code == 1


def test_logs(command: Command) -> None:
    command("run", "-d", "--name", "talks", "busybox", "sh", "-c", "seq 1 3; echo e >&2")
    command("wait", "talks")
    assert command.run("logs", "talks") == (0, "1\n2\n3\n", "e\n")
    assert command("logs", "-n", "1", "--since", "1h", "talks") in ("3\n", "")
    assert command("logs", "-f", "talks") == "1\n2\n3\n"
    assert re.match(r"20\d\d-.*Z 1\n", command("logs", "-t", "talks"))


def test_attached_to_what_runs(command: Command) -> None:
    command("run", "-d", "-i", "--name", "echoes", "busybox", "cat")
    with command.started("attach", "echoes") as child:
        assert child.stdin and child.stdout
        child.stdin.write(b"hello\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"hello\n"
    assert command("inspect", "-f", "{{.State.Running}}", "echoes") == "true\n"


def test_started_with_its_streams(command: Command) -> None:
    command("create", "-i", "--name", "adds", "busybox", "sh", "-c", "read a; echo got $a; exit 4")
    assert command("start", "-a", "-i", "adds", stdin=b"5\n", code=4) == "got 5\n"


def test_signals_go_through_to_the_container(command: Command) -> None:
    script = "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"
    with command.started("run", "--rm", "busybox", "sh", "-c", script) as child:
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == b"caught\n"
        assert child.wait(30) == 9


def test_the_id_is_written_and_the_name_given(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "id"
    id_ = command("run", "-d", "--cidfile", str(file), "--name", "known", "busybox", "sleep", "99")
    assert file.read_text() == id_.strip()
    again = command.run("run", "--name", "known", "busybox", "true")
    assert again.code == 125 and "already in use" in again.err


def test_options_reach_the_container(command: Command, tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/file").write_text("from the host\n")
    (tmp_path / "env").write_text("FROM_FILE=1\n")
    said = command(
        *("run", "--rm", "--hostname", "box", "--read-only", "--tmpfs", "/t", "--env-file"),
        *(str(tmp_path / "env"), "-v", f"{tmp_path}/dir:/in:ro", "-m", "64m", "--cpus", "0.5"),
        *("--pids-limit", "50", "--cap-drop", "ALL", "--cap-add", "CHOWN", "--ulimit"),
        *("nofile=77", "--add-host", "db:10.0.0.1", "--workdir", "/t", "--network", "none"),
        *("--security-opt", "no-new-privileges", "--init", "--shm-size", "8m", "busybox", "sh"),
        *("-c", "hostname; cat /in/file; echo $FROM_FILE; ulimit -n; pwd; grep db /etc/hosts;"
          " grep NoNew /proc/self/status; ls /sys/class/net; touch /x"),
        code=1,
    )  # fmt: skip
    assert said.split() == [
        *("box", "from", "the", "host", "1", "77", "/t", "10.0.0.1", "db", "NoNewPrivs:", "1"),
        "lo",
    ]


def test_ports(command: Command) -> None:
    command("run", "-d", "--name", "serves", "-p", "127.0.0.1:0:80/tcp", "busybox", "sleep", "99")
    shown = command("port", "serves") if command.name == "docker" else command("ps")
    assert re.search(r"127\.0\.0\.1:\d+", shown)


def test_images(command: Command, tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(tar({"said": b"x\n"}))
    id_ = command("import", "-c", 'CMD ["x"]', str(tmp_path / "root.tar"), "made:1").strip()
    assert command("images", "-q", "--no-trunc", "made") == f"{id_}\n"
    command("tag", "made:1", "again:2")
    assert command("image", "inspect", "-f", "{{.RepoTags}}", "made:1") == "[again:2 made:1]\n"
    assert "made:1" in command("images", "--format", "{{.Repository}}:{{.Tag}}")
    assert len(command("history", "-q", "made:1").split()) == 1
    command("save", "-o", str(tmp_path / "saved.tar"), "made:1")
    assert command("rmi", "again:2") == "Untagged: again:2\n"
    assert command("rmi", "made:1").startswith("Untagged: made:1\nDeleted: sha256:")
    assert command("load", "-i", str(tmp_path / "saved.tar")) == "Loaded image: made:1\n"
    assert command("load", stdin=command.raw("save", "made:1")) == "Loaded image: made:1\n"
    assert command.run("rmi", "nope").code == 1
    command("rmi", "-f", "made:1")


def test_commit_and_export(command: Command, tmp_path: Path) -> None:
    command("run", "--name", "writes", "busybox", "sh", "-c", "echo new > /new")
    image = command("commit", "-m", "why", "-a", "me", "-c", "ENV A=1", "writes", "kept:1")
    assert image.startswith("sha256:")
    assert command("run", "--rm", "kept:1", "sh", "-c", "cat /new; echo $A") == "new\n1\n"
    command("export", "-o", str(tmp_path / "out.tar"), "writes")
    assert b"new" in (tmp_path / "out.tar").read_bytes()
    command("rm", "writes")
    command("rmi", "kept:1")


@pytest.mark.skipif(not shutil.which("docker-registry"), reason="needs docker-registry")
def test_push_and_pull(command: Command, tmp_path: Path) -> None:
    with registry(tmp_path / "hub") as host:
        command("tag", "busybox", f"{host}/box:1")
        assert "digest: sha256:" in command("push", f"{host}/box:1")
        command("rmi", f"{host}/box:1")
        assert f"Status: Downloaded newer image for {host}/box:1" in command(
            "pull", f"{host}/box:1"
        )
        assert command("run", "--rm", f"{host}/box:1", "echo", "hi") == "hi\n"
        command("rmi", f"{host}/box:1")
        assert command("run", "--rm", f"{host}/box:1", "echo", "hi") == "hi\n"
        assert command("pull", "-q", f"{host}/box:1") == f"{host}/box:1\n"
        missing = command.run("pull", f"{host}/box:2")
        assert missing.code == 1
        assert "not found" in missing.err or "unknown" in missing.err


def test_what_the_engine_says_of_itself(command: Command) -> None:
    assert "casemate" in command("version")
    assert command("info", "-f", "{{.OSType}}") == "linux\n"
    assert "Images" in command("system", "df")
    assert "bridge" in command("network", "ls")
    assert json.loads(command("network", "inspect", "bridge"))[0]["Driver"] == "bridge"


def test_events(command: Command, engine: RunningEngine) -> None:
    with command.started("events", "--filter", "event=die", "--format", "{{.Action}}") as child:
        assert child.stdout
        eventually(lambda: engine.client.get("/info")["NEventsListener"], lambda count: count > 0)
        command("run", "--rm", "busybox", "true")
        assert child.stdout.readline() == b"die\n"


def test_prune(command: Command) -> None:
    command("run", "--name", "over", "busybox", "true")
    assert "Total reclaimed space" in command("container", "prune", "-f")
    assert command("ps", "-aq") == ""
    assert "Total reclaimed space" in command("image", "prune", "-f")


def test_several_clients_at_once(command: Command) -> None:
    said: list[str] = []

    def run(number: int) -> None:
        said.append(command("run", "--rm", "busybox", "echo", str(number)))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(said) == [f"{n}\n" for n in range(8)]
