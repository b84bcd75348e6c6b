"""How commands are found, what is shown for mistakes, and how everything ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from casemate.cli import tree
from casemate.cli.main import load
from casemate.cli.usage import command_help
from casemate.http.client import Client
from unit.cli.conftest import Cli
from unit.cli.fakeengine import FakeEngine

MODULES = sorted(
    {module for module, _ in tree.top().values()}
    | {module for _, members in tree.GROUPS.values() for module, _ in members.values()}
)


@pytest.mark.parametrize("module", MODULES)
def test_every_command_is_whole(module: str) -> None:
    command = load(module)
    names = [name for o in command.options for name in (o.name, *o.aliases)]
    shorts = [option.short for option in command.options if option.short]
    assert len(set(names)) == len(names)
    assert len(set(shorts)) == len(shorts)
    assert all(option.replaced_by in ("", *names) for option in command.options)
    assert command.examples
    text = command_help("x", module, command)
    lines = [line for line in text.split("\n") if "casemate" not in line]
    assert all(len(line) < 100 for line in lines)


def test_every_module_of_a_command_is_in_the_tree() -> None:
    import casemate.cli.commands as package

    files = {name[:-3] for name in os.listdir(package.__path__[0]) if name.endswith(".py")}
    assert files - {"__init__"} == set(MODULES)


def test_a_command_has_the_same_help_by_all_of_its_names(
    cli: Cli, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for words in (["ps"], ["container", "ls"], ["container", "list"]):
        assert cli(*words, "--help") == 0
        shown.append(capfd.readouterr().out)
    assert shown[0].startswith("Usage:  casemate ps [OPTIONS]\n\nList containers\n\nAliases:\n")
    assert shown[1].startswith("Usage:  casemate container ls [OPTIONS]\n")
    assert len({text.partition("\n")[2] for text in shown}) == 1
    assert (
        "casemate container ls, casemate container list, casemate container ps, casemate ps"
        in (shown[0])
    )


@pytest.mark.parametrize("words", [["help"], ["--help"], [], ["-h"]])
def test_help_lists_every_command(
    cli: Cli, words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli(*words) == 0
    shown = capfd.readouterr().out
    for name in (*tree.top(), *tree.GROUPS):
        assert f"\n  {name} " in shown


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["rnu"], 1, "casemate: unknown command: casemate rnu\n\nDid you mean this?\n\trun"),
        (["container", "lss"], 1, "casemate: unknown command: casemate container lss\n\nDid"),
        (["--bogus"], 125, "unknown flag: --bogus\n\nUsage:  casemate [OPTIONS] COMMAND"),
        (["ps", "x"], 1, "casemate: 'casemate ps' accepts no arguments\n\nUsage:  casemate ps"),
        (["rm"], 1, "casemate: 'casemate rm' requires at least 1 argument\n"),
        (["tag", "a"], 1, "casemate: 'casemate tag' requires 2 arguments\n"),
        (["images", "a", "b"], 1, "casemate: 'casemate images' requires at most 1 argument\n"),
        (["commit"], 1, "casemate: 'casemate commit' requires at least 1 and at most 2 arguments"),
        (["ps", "--foo"], 125, "unknown flag: --foo\n"),
        (["help", "nope"], 1, "unknown help topic: nope\n"),
        (["container", "--x"], 125, "unknown flag: --x\n"),
        (["run", "-m", "1x", "b"], 125, 'invalid argument "1x" for "-m, --memory" flag: invalid'),
        (["--host", "ssh://x", "ps"], 1, "invalid engine address 'ssh://x'"),
        (["--host", "unix:///x", "--run", "/y", "ps"], 1, "conflicting options"),
        (["inspect", "-f", "{{", "x"], 64, "template parsing error: template: :1: unclosed action"),
    ],
)
def test_mistakes_have_dockers_words_and_status(
    cli: Cli, words: list[str], status: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli(*words) == status
    seen = capfd.readouterr()
    assert seen.err.startswith(message)
    assert not seen.out


def test_an_error_of_the_engine_is_marked_and_its_hint_has_a_line(
    cli: Cli, engine: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.answers["POST /images/a/tag"] = (404, {"message": "no \x1b[2J", "hint": "pull it"})
    assert cli("tag", "a", "b") == 1
    assert capfd.readouterr().err == ("Error response from daemon: no \\x1b[2J\nhint: pull it\n")


def test_nobody_listening_is_said_with_the_address(
    cli: Cli, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli("ps") == 1
    message = capfd.readouterr().err
    assert f"cannot connect to the engine at unix://{tmp_path}/engine.sock" in message
    assert "hint: is the engine running?" in message


def test_an_answer_that_is_no_json_is_an_error(
    cli: Cli, engine: FakeEngine, capfd: pytest.CaptureFixture[str]
) -> None:
    engine.answers["GET /containers/json"] = (200, b"<html>")
    assert cli("ps") == 1
    assert "is not JSON" in capfd.readouterr().err


def _process(engine: FakeEngine, script: str, **options: object) -> subprocess.Popen[bytes]:
    program = f"{sys.executable} -c 'from casemate.cli.main import main; main()' "
    return subprocess.Popen(
        ["sh", "-c", script.replace("casemate", program)],
        env={**os.environ, "CASEMATE_HOST": engine.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,  # type: ignore[call-overload]
    )


def test_a_reader_that_goes_away_is_no_error(engine: FakeEngine) -> None:
    many = [{"Id": f"{n:064x}", "Names": ["/x"], "Created": 0, "Ports": []} for n in range(5000)]
    engine.answers["GET /containers/json"] = (200, many)
    with _process(engine, "casemate ps | head -1; exit 0") as shell:
        out, err = shell.communicate(timeout=60)
    assert out.startswith(b"CONTAINER ID")
    assert err == b""


@pytest.mark.parametrize(("number", "status"), [(2, 130), (15, 143)])
def test_a_signal_ends_a_command_with_its_status(
    engine: FakeEngine, number: int, status: int
) -> None:
    child: subprocess.Popen[bytes]

    def never(_: object) -> None:
        os.kill(child.pid, number)
        engine.requests[0].sock.recv(1)  # until the command is gone

    engine.answers["POST /containers/a/wait"] = never
    child = subprocess.Popen(
        [sys.executable, "-c", "from casemate.cli.main import main; main()", "wait", "a"],
        env={**os.environ, "CASEMATE_HOST": engine.address},
        stderr=subprocess.PIPE,
    )
    with child:
        _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (status, b"")


def test_a_connection_that_the_engine_closed_is_not_used_again() -> None:
    """A restarted engine does not know the connections of the one before."""
    client = Client("unix:///nowhere")
    for ending in ("open", "closed", "spoke"):
        ours, theirs = socket.socketpair()
        client._keep(ours)
        if ending == "closed":
            theirs.close()
        elif ending == "spoke":
            theirs.sendall(b"HTTP/1.1 408 too late\r\n\r\n")
        assert (client._reusable() is ours) is (ending == "open")
        ours.close()
        theirs.close()
