"""People at a terminal: an interactive shell by docker's command and by ours."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.commands import Command
from support.engine import RunningEngine, eventually

pytestmark = pytest.mark.root


@pytest.fixture(params=["docker", "casemate"])
def command(engine: RunningEngine, request: pytest.FixtureRequest, tmp_path: Path) -> Command:
    if request.param == "docker" and not shutil.which("docker"):
        pytest.skip("needs docker's command")
    return Command(request.param, engine.socket, str(tmp_path))


def test_a_shell(command: Command) -> None:
    with command.at_terminal("run", "--rm", "-it", "busybox", "sh", rows=33, columns=99) as shell:
        shell.until("# ")
        shell.type("stty size; tty; echo $TERM\r")
        assert "33 99" in shell.until("xterm")
        shell.type("exit 7\r")
        assert shell.wait() == 7
        assert not shell.is_raw()  # the terminal is given back as it was
    assert command("ps", "-aq") == ""


def test_keys_go_through_as_they_are(command: Command) -> None:
    with command.at_terminal("run", "--rm", "-it", "busybox", "sh") as shell:
        shell.until("# ")
        shell.type("sh -c 'echo ready; exec cat'\r")
        shell.until("\nready\r\n")  # the shell has given the terminal away by now
        assert shell.is_raw()
        shell.type("half a line\x03")  # Ctrl-C interrupts cat, not the client
        shell.until("^C")
        shell.until("# ")
        shell.type("sh -c 'echo ready; exec sleep 100'\r")
        shell.until("\nready\r\n")
        shell.type("\x1a")  # Ctrl-Z
        shell.until("Stopped")
        shell.until("# ")
        shell.type("exit\rexit 6\r")  # the first one says that there are stopped jobs
        assert shell.wait() == 6


def test_a_window_that_changes(command: Command) -> None:
    with command.at_terminal("run", "--rm", "-it", "busybox", "sh") as shell:
        shell.until("# ")

        def size() -> str:
            shell.resize(44, 111)  # docker's command may have missed the first one
            # What is typed may be shown twice: with another window the shell draws it anew.
            shell.type("stty size; echo sa''id\r")
            return shell.until("said\r\n")

        eventually(size, lambda seen: "44 111" in seen)
        shell.type("exit\r")
        assert shell.wait() == 0


def test_much_output_arrives_whole(command: Command) -> None:
    with command.at_terminal("run", "--rm", "-it", "busybox", "seq", "1", "20000") as shell:
        assert shell.wait() == 0
        lines = shell.said.decode().split("\r\n")
        assert [line for line in lines if line] == [str(n) for n in range(1, 20001)]


def test_another_shell_in_it(command: Command) -> None:
    command("run", "-d", "--name", "sleeper", "busybox", "sleep", "1000")
    with command.at_terminal("exec", "-it", "sleeper", "sh", rows=20, columns=70) as shell:
        shell.until("# ")
        shell.type("stty size; hostname\r")
        assert "20 70" in shell.until(command("ps", "-q").strip())
        shell.type("exit 3\r")
        assert shell.wait() == 3


def test_attached_to_a_shell_that_runs(command: Command) -> None:
    command("run", "-dit", "--name", "shell", "busybox", "sh")
    with command.at_terminal("attach", "shell") as shell:
        shell.type("echo $((6*7))\r")
        shell.until("42")
        shell.type("exit 5\r")
        assert shell.wait() == 5


def test_a_terminal_that_vanishes_leaves_the_container(command: Command) -> None:
    with command.at_terminal("run", "-it", "--name", "stays", "busybox", "sh") as shell:
        shell.until("# ")
    assert command("inspect", "-f", "{{.State.Running}}", "stays") == "true\n"
    with command.at_terminal("attach", "stays") as shell:
        shell.type("echo $((6*7))\r")
        shell.until("42")


def test_no_terminal_is_told(command: Command) -> None:
    said = command.run("run", "--rm", "-it", "busybox", "true")
    assert said.code != 0
    assert "TTY" in said.err or "terminal" in said.err


@pytest.mark.parametrize(("option", "keys"), [((), "\x10\x11"), (("--detach-keys", "a,b"), "ab")])
def test_leaving_it_running(command: Command, option: tuple[str, ...], keys: str) -> None:
    words = ("run", "-it", *option, "--name", "left", "busybox", "sh")
    with command.at_terminal(*words) as shell:
        shell.until("# ")
        shell.type(keys)
        assert shell.wait() == 0
        assert not shell.is_raw()
    assert command("inspect", "--format", "{{.State.Status}}", "left").strip() == "running"
    with command.at_terminal("attach", "left") as shell:
        shell.type("\r")
        shell.until("# ")
        shell.type("exit 3\r")
        assert shell.wait() == 3
