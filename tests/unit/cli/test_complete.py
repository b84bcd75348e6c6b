"""Completion: of commands, options, their values, and the names that the engine knows."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unit.cli.conftest import Cli
from unit.cli.fakeengine import FakeEngine


@pytest.fixture
def known(engine: FakeEngine) -> FakeEngine:
    engine.answers = {
        "GET /containers/json": (
            200,
            [
                {"Names": ["/web"], "Image": "i", "Status": "Up", "State": "running"},
                {"Names": ["/old"], "Image": "i", "Status": "Exited", "State": "exited"},
            ],
        ),
        "GET /images/json": (200, [{"RepoTags": ["debian:12", "web:latest", "<none>:<none>"]}]),
        "GET /networks": (200, [{"Name": "bridge", "Driver": "bridge"}]),
        "GET /volumes": (200, {"Volumes": [{"Name": "data"}]}),
    }
    return engine


def ask(cli: Cli, capfd: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert cli("__complete", "--", *words) == 0
    return [line.partition("\t")[0] for line in capfd.readouterr().out.split("\n")[:-1]]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["ru"], ["run", ":"]),
        (["contai"], ["container", ":"]),
        (["container", "l"], ["logs", "ls", ":"]),
        (["-H", "unix:///x", "plan"], ["plan", ":"]),
        (["ps", "--no"], ["--no-trunc", ":"]),
        (["run", "--pull", "m"], ["missing", ":"]),
        (["run", "--pull=n"], ["--pull=never", ":"]),
        (["run", "--isolation", "s"], ["sandbox", ":"]),
        (["run", "--cap-add", "NET_A"], ["NET_ADMIN", ":"]),
        (["run", "-itv"], [":"]),
        (["run", "--env-file", ""], [":files"]),
        (["run", "--network", ""], ["bridge", ":"]),
        (["run", "-v", "da"], ["data", ":files"]),
        (["run", ""], ["debian:12", "web:latest", ":"]),
        (["run", "-it", "--rm", "deb"], ["debian:12", ":"]),
        (["run", "debian", ""], [":"]),
        (["run", "debian", "--na"], [":"]),
        (["start", ""], ["old", ":"]),
        (["rm", ""], ["web", "old", ":"]),
        (["rm", "web", ""], ["old", ":"]),
        (["logs", "web", ""], [":"]),
        (["kill", "-s", "T"], ["TERM", "TSTP", ":"]),
        (["inspect", ""], ["web", "old", "debian:12", "web:latest", "bridge", "data", ":"]),
        (["volume", "rm", ""], ["data", ":files"]),
        (["completion", ""], ["bash", "fish", "zsh", ":"]),
        (["import", ""], [":files"]),
        (["nope", ""], [":"]),
        (["-"], ["--config", "--host", "--root", "--run", "--version", ":"]),
        (["--host"], ["--host", ":"]),
        (["--host", ""], [":files"]),
    ],
)
def test_candidates(
    cli: Cli,
    known: FakeEngine,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    wanted: list[str],
) -> None:
    assert ask(cli, capfd, *words) == wanted


def test_variables_of_the_environment_are_candidates(
    cli: Cli, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASEMATE_TEST_ONLY", "1")
    assert ask(cli, capfd, "run", "-e", "CASEMATE_TEST") == ["CASEMATE_TEST_ONLY=", ":"]


def test_without_an_engine_nothing_is_started_and_no_name_is_known(
    cli: Cli, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CASEMATE_HOST")
    monkeypatch.setenv("CASEMATE_RUN", str(tmp_path / "run"))
    assert ask(cli, capfd, "rm", "") == [":"]
    assert not (tmp_path / "run").exists()


def test_names_are_those_of_the_engine_on_the_line(
    cli: Cli, known: FakeEngine, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CASEMATE_HOST")
    assert ask(cli, capfd, "-H", known.address, "rm", "w") == ["web", ":"]


def test_names_cannot_steer_the_terminal(
    cli: Cli, engine: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.answers["GET /images/json"] = (200, [{"RepoTags": ["x\x1b[2J\n:files"]}])
    assert ask(cli, capfd, "run", "") == ["x\\x1b[2J\\n:files", ":"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("casemate ru", ["run"]),
        ("casemate container l", ["logs", "ls"]),
        ("casemate run --pull=", ["always", "missing", "never"]),
        ("casemate run deb", ["debian:12"]),
        ("casemate run debian:", ["12"]),
        ("casemate run --env-file fil", ["file name"]),
        ("casemate rm web o", ["old"]),
    ],
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes(
    cli: Cli, known: FakeEngine, tmp_path: Path, line: str, wanted: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert cli("completion", "bash") == 0
    program = tmp_path / "casemate"
    program.write_text(f"#!{sys.executable}\nfrom casemate.cli.main import main\nmain()\n")
    program.chmod(0o755)
    (tmp_path / "file name").write_text("")
    # As bash does it: words are broken at = and : too.
    words = line.replace("=", " = ").replace(":", " : ").split(" ")
    if line[-1] in "=:":
        words = [*words[:-1], ""]
    script = capfd.readouterr().out + (
        f"COMP_WORDS=({' '.join(repr(w) for w in words)})\nCOMP_CWORD={len(words) - 1}\n"
        f"COMP_LINE={line!r}\nCOMP_POINT={len(line)}\n"
        "COMP_WORDBREAKS=$' \\t\\n\"\\'><=;|&(:'\n"
        '_casemate\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split("\n")[:-1] == wanted, done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(
    cli: Cli, shell: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli("completion", shell) == 0
    script = capfd.readouterr().out
    assert "__complete -- " in script
    if shutil.which(shell):
        subprocess.run([shell, "-n", "/dev/stdin"], input=script, text=True, check=True, timeout=60)
