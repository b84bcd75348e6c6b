"""One more process in a container."""

from __future__ import annotations

import os
import signal

import pytest

from casemate.errors import Conflict, InvalidArgument, NotFound, Unsupported
from support.engine import Executed, RunningEngine, eventually
from support.streams import start_exec

pytestmark = pytest.mark.root


@pytest.fixture
def sleeper(engine: RunningEngine) -> str:
    return engine.run_container("busybox", "sleep", "1000", Env=["A=image", "B=2"])


def test_streams_and_exit_code_are_those_of_the_process(
    engine: RunningEngine, sleeper: str
) -> None:
    done = engine.exec(sleeper, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert done == Executed(7, b"out\n", b"err\n")
    assert engine.exec(sleeper, "sh", "-c", "kill -9 $$").code == 137


def test_input_reaches_it_and_its_end_as_well(engine: RunningEngine, sleeper: str) -> None:
    data = os.urandom(300_000)
    done = engine.exec(sleeper, "cat", stdin=data, AttachStdin=True)
    assert (done.code, done.out) == (0, data)


def test_without_attached_input_there_is_none(engine: RunningEngine, sleeper: str) -> None:
    assert engine.exec(sleeper, "cat", stdin=b"nobody reads this").out == b""


def test_user_environment_and_directory_can_be_chosen(engine: RunningEngine, sleeper: str) -> None:
    shown = engine.exec(
        sleeper, "sh", "-c", "id -u; id -g; id -G; pwd; echo $A $B $C; echo $HOME",
        User="bob", Env=["A=exec", "C=3"], WorkingDir="/tmp",
    )  # fmt: skip
    assert shown.out.decode().split("\n") == [
        *("1000", "1000", "1000 2000", "/tmp", "exec 2 3", "/home/bob", ""),
    ]


def test_it_is_in_the_container_in_every_respect(engine: RunningEngine, sleeper: str) -> None:
    script = (
        "readlink /proc/self/ns/*; cat /proc/self/cgroup; grep -E 'Cap|Sec|NoNew' /proc/$$/status"
    )
    first = engine.exec(sleeper, "sh", "-c", script.replace("self", "1").replace("$$", "1"))
    own = engine.exec(sleeper, "sh", "-c", script)
    assert own.out == first.out
    assert engine.exec(sleeper, "sh", "-c", "ls /proc/self/fd | wc -l").out == b"4\n"


def test_a_terminal_of_its_own(engine: RunningEngine, sleeper: str) -> None:
    exec_id = engine.create_exec(sleeper, "sh", Tty=True, AttachStdin=True)
    shell = start_exec(engine.client, exec_id, tty=True)
    engine.client.post(f"/exec/{exec_id}/resize?h=33&w=99")
    shell.send(b"tty; stty size; exit 5\n")
    shell.until(b"/dev/pts/0\r\n")
    assert shell.until(b"\r\n") == b"33 99\r\n"
    shell.rest()
    assert engine.exec_code(exec_id) == 5


def test_a_size_given_at_the_start_is_there_from_the_start(
    engine: RunningEngine, sleeper: str
) -> None:
    exec_id = engine.create_exec(sleeper, "stty", "size", Tty=True, ConsoleSize=[12, 34])
    assert start_exec(engine.client, exec_id, tty=True).rest()[0] == b"12 34\r\n"


def test_what_cannot_be_done_is_refused_before_there_is_one(
    engine: RunningEngine, sleeper: str
) -> None:
    path, body = f"/containers/{sleeper}/exec", {"Cmd": ["true"]}
    with pytest.raises(InvalidArgument, match="invalid terminal size"):
        engine.client.post(path, {**body, "ConsoleSize": [1 << 40, 80]})
    with pytest.raises(Unsupported, match="Usr is not supported"):
        engine.client.post(path, {**body, "Usr": "bob"})
    exec_id = engine.create_exec(sleeper, "true", Tty=True)
    with pytest.raises(InvalidArgument, match="invalid terminal size"):
        engine.client.post(f"/exec/{exec_id}/start", {"Tty": True, "ConsoleSize": [-1, 80]})
    assert not engine.inspect(sleeper)["ExecIDs"]


@pytest.mark.parametrize(
    ("command", "config", "code", "reason"),
    [
        (["nope"], {}, 127, b'exec: "nope": executable file not found in $PATH'),
        (["/nope"], {}, 127, b"no such file or directory"),
        (["/etc/passwd"], {}, 126, b"permission denied"),
        (["true"], {"WorkingDir": "/nope"}, 126, b"chdir to cwd"),
        (["true"], {"User": "nobody"}, 126, b"unable to find user nobody"),
        (["true"], {"User": "4294967296"}, 126, b"out of range"),
    ],
)
def test_what_cannot_be_executed_is_told_on_the_stream(
    engine: RunningEngine,
    sleeper: str,
    command: list[str],
    config: dict[str, object],
    code: int,
    reason: bytes,
) -> None:
    done = engine.exec(sleeper, *command, **config)
    assert done.code == code
    assert reason in done.out


def test_detached_it_goes_on_by_itself(engine: RunningEngine, sleeper: str) -> None:
    exec_id = engine.create_exec(sleeper, "sh", "-c", "echo done > /tmp/done; exit 4")
    engine.client.post(f"/exec/{exec_id}/start", {"Detach": True})
    found = eventually(
        lambda: engine.client.get(f"/exec/{exec_id}/json"), lambda e: not e["Running"]
    )
    assert found["ExitCode"] == 4
    assert engine.exec(sleeper, "cat", "/tmp/done").out == b"done\n"


def test_it_runs_once(engine: RunningEngine, sleeper: str) -> None:
    exec_id = engine.create_exec(sleeper, "true")
    start_exec(engine.client, exec_id).rest()
    with pytest.raises(Conflict, match="has already run"):
        engine.client.post(f"/exec/{exec_id}/start", {"Detach": True})
    with pytest.raises(NotFound):
        engine.client.get("/exec/nope/json")


def test_only_a_running_container_takes_one(engine: RunningEngine, sleeper: str) -> None:
    created = engine.create("busybox", "true")
    with pytest.raises(Conflict, match="is not running"):
        engine.create_exec(created, "true")
    with pytest.raises(InvalidArgument, match="no exec command"):
        engine.create_exec(sleeper)


def test_it_ends_with_the_container(engine: RunningEngine, sleeper: str) -> None:
    exec_id = engine.create_exec(sleeper, "sh", "-c", "echo ready; sleep 1000")
    streams = start_exec(engine.client, exec_id)
    streams.until(b"ready\n")
    engine.client.post(f"/containers/{sleeper}/kill")
    streams.rest()
    assert engine.client.get(f"/exec/{exec_id}/json")["ExitCode"] == 137


def test_inspect_lists_those_that_run(engine: RunningEngine, sleeper: str) -> None:
    exec_id = engine.create_exec(sleeper, "cat", AttachStdin=True)
    assert engine.inspect(sleeper)["ExecIDs"] is None
    streams = start_exec(engine.client, exec_id)
    streams.send(b"ready\n")
    streams.until(b"ready\n")
    found = engine.client.get(f"/exec/{exec_id}/json")
    assert engine.inspect(sleeper)["ExecIDs"] == [exec_id]
    assert (found["Running"], found["ContainerID"]) == (True, sleeper)
    with open(f"/proc/{found['Pid']}/cmdline", "rb") as file:
        assert file.read() == b"cat\0"
    streams.end_input()
    streams.rest()
    assert engine.inspect(sleeper)["ExecIDs"] is None


def test_a_client_that_vanishes_does_not_end_it(engine: RunningEngine, sleeper: str) -> None:
    script = "echo ready; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo x >> /tmp/seen"
    exec_id = engine.create_exec(sleeper, "sh", "-c", script, AttachStdin=True)
    streams = start_exec(engine.client, exec_id)
    streams.until(b"ready\n")
    streams.close()
    engine.exec(sleeper, "touch", "/tmp/go")
    eventually(lambda: engine.client.get(f"/exec/{exec_id}/json"), lambda e: not e["Running"])
    assert engine.exec(sleeper, "cat", "/tmp/seen").out == b"x\n"


def test_output_without_a_reader_costs_no_memory(engine: RunningEngine, sleeper: str) -> None:
    """Escape table B.5, CVE-2022-31030: the output waits, as in a pipe."""
    exec_id = engine.create_exec(sleeper, "sh", "-c", "echo ready; yes")
    streams = start_exec(engine.client, exec_id)
    streams.until(b"ready\n")
    pid = engine.client.get(f"/exec/{exec_id}/json")["Pid"]
    eventually(lambda: _asleep(pid), lambda is_so: is_so)
    assert _resident_kib(engine.supervisor(sleeper)) < 4000
    streams.close()


def _asleep(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


def _resident_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def test_execs_go_on_while_the_engine_is_replaced(own_engine: RunningEngine) -> None:
    sleeper = own_engine.run_container("busybox", "sleep", "1000")
    exec_id = own_engine.create_exec(sleeper, "cat", AttachStdin=True)
    streams = start_exec(own_engine.client, exec_id)
    streams.send(b"before\n")
    streams.until(b"before\n")
    own_engine.kill()
    streams.send(b"without an engine\n")
    streams.until(b"without an engine\n")
    own_engine.start()
    # The new engine numbers its execs anew; none may be taken for the one that runs.
    for _ in range(3):
        assert own_engine.exec(sleeper, "echo", "new").out == b"new\n"
    streams.send(b"after\n")
    streams.until(b"after\n")
    streams.end_input()
    assert streams.rest() == (b"", b"")
    with pytest.raises(NotFound, match="No such exec"):
        own_engine.client.get(f"/exec/{exec_id}/json")


def test_a_background_child_does_not_hold_the_container(
    engine: RunningEngine, sleeper: str
) -> None:
    """What an exec leaves behind writes on; the supervisor must go on as well."""
    assert engine.exec(sleeper, "sh", "-c", "yes & exit 0").code == 0
    assert engine.exec(sleeper, "echo", "alive").out == b"alive\n"
    engine.client.post(f"/containers/{sleeper}/kill?signal={signal.SIGKILL.value}")
    assert engine.wait(sleeper) == 137
