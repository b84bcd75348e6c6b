"""Terminals: of the room's own, controlling, resized, alive while nobody has them open."""

from __future__ import annotations

import errno
import os
import signal

import pytest

from casemate.runtime.plan import Plan, Stdio
from casemate.runtime.steps import step
from casemate.supervise.shim import StepFailed
from support.shims import ALL, ENV, Lab, asynchronous, rooted, within

pytestmark = pytest.mark.root

TERMINAL = Stdio(tty=True, stdin=True)
EXEC_TERMINAL = Stdio(tty=True, stdin=True, log=False)


@asynchronous
async def test_a_terminal_is_the_rooms_own_and_controls_the_workload(lab: Lab) -> None:
    script = "tty; stty size; echo over > /dev/tty"
    task, client = await lab.talk("sh", "-c", script, flags=ALL, stdio=TERMINAL)
    out, _ = await within(client.rest())
    assert out.split(b"\r\n")[:3] == [b"/dev/pts/0", b"24 80", b"over"]
    await task.exit()
    assert b"".join(e.data for e in task.log()) == out
    assert {e.stream for e in task.log()} == {1}


@asynchronous
async def test_what_is_typed_arrives_and_is_echoed(lab: Lab) -> None:
    _, client = await lab.talk("sh", "-c", "read line; echo got $line", flags=ALL, stdio=TERMINAL)
    await client.send(b"hello\r")
    out, _ = await within(client.rest())
    assert out == b"hello\r\ngot hello\r\n"


@asynchronous
async def test_the_interrupt_key_interrupts(lab: Lab) -> None:
    script = "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    task, client = await lab.talk("sh", "-c", script, flags=ALL, stdio=TERMINAL)
    await client.until(b"ready")
    await client.send(b"\x03")
    assert b"interrupted" in await client.until(b"interrupted")
    assert (await within(task.exit())).code == 3


@asynchronous
async def test_a_terminal_is_resized_and_the_workload_is_told(lab: Lab) -> None:
    script = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"
    task, client = await lab.talk("sh", "-c", script, flags=ALL, stdio=TERMINAL)
    await client.until(b"ready")
    await task.shim.resize(0, 50, 132)
    assert b"50 132" in await client.until(b"50 132")


@asynchronous
async def test_a_size_that_is_none_is_refused(lab: Lab) -> None:
    task = await lab.run("cat", stdio=TERMINAL)
    for rows, columns in ((65536, 80), (24, 1 << 20)):
        with pytest.raises(OSError) as caught:
            await task.shim.resize(0, rows, columns)
        assert caught.value.errno == errno.EINVAL
    number = await task.execute("sleep", "1000")
    with pytest.raises(OSError) as caught:
        await task.shim.resize(number, 24, 80)
    assert caught.value.errno == errno.ENOTTY


@asynchronous
async def test_execs_have_terminals_of_their_own(lab: Lab) -> None:
    task = await lab.run("cat", stdio=TERMINAL)
    for nursery in (False, True):
        if nursery:
            await task.shim.nursery(Plan(()).whole_file())
        script = "tty; read line; echo got $line"
        number, client = await task.talk("sh", "-c", script, flags=ALL, stdio=EXEC_TERMINAL)
        await client.send(b"x\r")
        out, _ = await within(client.rest())
        assert out == b"x\r\n/dev/pts/1\r\ngot x\r\n" or out == b"/dev/pts/1\r\nx\r\ngot x\r\n"
        assert (await task.exit(number)).code == 0


@asynchronous
async def test_a_terminal_without_input_takes_none(lab: Lab) -> None:
    script = "read -t 1 line; echo end $line"
    _, client = await lab.talk("sh", "-c", script, flags=ALL, stdio=Stdio(tty=True))
    await client.send(b"typed\r")
    out, _ = await within(client.rest())
    assert out == b"end\r\n"


@asynchronous
async def test_a_terminal_lives_on_while_nobody_has_it_open(lab: Lab) -> None:
    script = "exec <&- >&- 2>&-; for i in 1 2 3; do sleep 0.05; seq 1 2000 > /dev/pts/0; done"
    task, client = await lab.talk("sh", "-c", script, flags=ALL, stdio=TERMINAL)
    out, _ = await within(client.rest())
    assert out.count(b"\r\n2000\r\n") == 3
    assert (await task.exit()).code == 0


@asynchronous
async def test_all_output_before_the_end_is_kept(lab: Lab) -> None:
    for _ in range(20):
        task, client = await lab.talk("seq", "1", "3000", flags=ALL, stdio=TERMINAL)
        out, _ = await within(client.rest())
        assert out == "".join(f"{n}\r\n" for n in range(1, 3001)).encode()
        await task.exit()
        assert b"".join(e.data for e in task.log()) == out


@asynchronous
async def test_the_terminal_can_be_bound_to_the_console(lab: Lab) -> None:
    task = await lab.room()
    client = await task.attach(ALL)
    plan = Plan(
        (
            *rooted(lab.root, lab.mount_place),
            step("pty", "tty", "pts", 0, 0),
            step("open_tree", "console", "tty", "", 0x1001),
            step("target", "place", "root", "/dev/console", 1, 0o600),
            step("move_mount", "console", "place"),
            step("pivot", "root"),
            step("exec", ("sh", "-c", "echo to the console > /dev/console"), ENV),
        ),
        stdio=TERMINAL,
    )
    await task.start_plan(plan)
    assert await within(client.rest()) == (b"to the console\r\n", b"")


@asynchronous
async def test_a_terminal_belongs_to_the_user_and_to_the_group_tty(lab: Lab) -> None:
    owner = [step("stdio_owner", 1000), step("identity", 1000, 1000)]
    task = await lab.room()
    client = await task.attach(ALL)
    await task.start(
        "stat", "-c", "%u %g %a", "/dev/pts/0", stdio=TERMINAL, before=[step("groups", b""), *owner]
    )
    out, _ = await within(client.rest())
    assert out == b"1000 5 620\r\n" or out == b"1000 5 600\r\n"


@asynchronous
async def test_the_terminal_hangs_up_when_the_supervisor_is_killed(lab: Lab) -> None:
    task, client = await lab.talk("sh", "-c", "echo ready; cat", flags=ALL, stdio=TERMINAL)
    await client.until(b"ready")
    os.kill(task.shim.pid, signal.SIGKILL)
    await within(client.rest())


@asynchronous
async def test_a_terminal_that_is_no_devpts_is_refused(lab: Lab) -> None:
    task = await lab.room()
    steps = (*rooted(lab.root, lab.mount_place), step("expect_fs", "dev", 0x1CD1))
    with pytest.raises(StepFailed) as caught:
        await task.start_plan(Plan(steps, stdio=TERMINAL))
    assert caught.value.code == errno.EXDEV
