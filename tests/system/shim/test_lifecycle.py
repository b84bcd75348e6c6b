"""The life of a task: start, end, execs, failing steps, and what is written down of it."""

from __future__ import annotations

import errno
import os
import signal
import time

import pytest

from casemate.errors import NotFound
from casemate.runtime.plan import Plan, Stdio
from casemate.runtime.steps import step
from casemate.supervise.connection import Gone
from casemate.supervise.shim import StepFailed
from support.shims import Lab, asynchronous, within

pytestmark = pytest.mark.root

SLEEPER = ("sleep", "1000")


@asynchronous
async def test_the_exit_code_is_reported_and_written_down(lab: Lab) -> None:
    before = time.time_ns()
    task = await lab.run("sh", "-c", "exit 3")
    exit_ = await task.exit()
    assert exit_.code == 3
    status, started, ended, lost = task.record() or (0, 0, 0, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    assert before < started < ended == exit_.at_ns <= time.time_ns()
    assert lost == 0
    await within(task.shim.gone)
    assert sorted(os.listdir(task.state)) == ["exit", "log.json"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1, signal.SIGSEGV])
@asynchronous
async def test_a_signal_that_ends_the_workload_is_reported(lab: Lab, number: int) -> None:
    # In a process namespace of its own it would be the first, which ignores most.
    task = await lab.run(*SLEEPER, namespaces=("mount",))
    await task.shim.kill(0, number)
    exit_ = await task.exit()
    assert os.WIFSIGNALED(exit_.status) and exit_.code == 128 + number


@asynchronous
async def test_signals_reach_the_workload(lab: Lab) -> None:
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    task, client = await lab.talk("sh", "-c", script)
    await client.until(b"ready")
    await task.shim.kill(0, signal.SIGTERM)
    assert (await task.exit()).code == 7


@asynchronous
async def test_a_process_that_has_ended_cannot_be_signalled(lab: Lab) -> None:
    task = await lab.run(*SLEEPER)
    number = await task.execute("true")
    await task.exit(number)
    with pytest.raises(OSError) as caught:
        await task.shim.kill(number, signal.SIGTERM)
    assert caught.value.errno == errno.ESRCH


@asynchronous
async def test_many_execs_at_once_each_have_their_own_end(lab: Lab) -> None:
    task = await lab.run(*SLEEPER)
    numbers = [task.next() for _ in range(40)]
    for number in numbers:
        await task.execute("sh", "-c", f"exit {number}", number=number)
    for number in numbers:
        assert (await within(task.exit(number))).code == number
        await task.shim.forget(number)


@asynchronous
async def test_execs_of_a_nursery_are_children_in_the_same_namespaces(lab: Lab) -> None:
    task = await lab.run(*SLEEPER)
    await task.shim.nursery(Plan(()).whole_file())
    await task.shim.nursery(Plan(()).whole_file())  # one is enough
    script = "cd /proc; readlink self/ns/pid; readlink 1/ns/pid; ls"
    _, client = await task.talk("sh", "-c", script)
    out, _ = await client.rest()
    mine, first, *processes = out.decode().split()
    assert mine == first
    assert {p for p in processes if p.isdigit()} <= {"1", "2", "3", "4"}


@asynchronous
async def test_an_exec_ends_with_the_container(lab: Lab) -> None:
    task = await lab.run(*SLEEPER)
    number = await task.execute(*SLEEPER)
    await task.shim.kill(0, signal.SIGKILL)
    assert (await task.exit(number)).code == 137
    assert (await task.exit()).code == 137
    await within(task.shim.gone)


@asynchronous
async def test_an_exec_ends_with_a_container_that_shares_the_hosts_processes(lab: Lab) -> None:
    task = await lab.run(*SLEEPER, namespaces=("mount",))
    _, client = await task.talk("sh", "-c", "echo here; sleep 1000")
    await client.until(b"here")
    await task.shim.kill(0, signal.SIGKILL)
    await task.exit()
    await within(task.shim.gone)
    assert await client.rest() == (b"here\n", b"")


@asynchronous
async def test_a_failing_step_is_named(lab: Lab) -> None:
    task = await lab.room()
    plan = Plan((step("umask", 0), step("chdir", "/no/such/place"), step("exec", ("x",), ())))
    with pytest.raises(StepFailed) as caught:
        await task.start_plan(plan)
    failure = caught.value
    assert (failure.part, failure.number, failure.about) == ("start", 1, "/no/such/place")
    assert failure.code == errno.ENOENT
    await within(task.shim.gone)
    assert task.record() is None
    assert "control.sock" not in os.listdir(task.state)


@asynchronous
async def test_a_failing_outside_step_is_named(lab: Lab) -> None:
    task = await lab.room()
    plan = Plan((), outside=(step("attach", "/no/such/cgroup.procs"),))
    with pytest.raises(OSError) as caught:
        await task.shim.prepare(plan.ahead_file())
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(StepFailed) as failed:
        await task.start_plan(Plan((step("exec", ("x",), ()),)))
    assert (failed.value.part, failed.value.about) == ("outside", "/no/such/cgroup.procs")


@asynchronous
async def test_what_fails_ahead_is_told_before_the_start(lab: Lab) -> None:
    task = await lab.room()
    plan = Plan((step("exec", ("x",), ()),), ahead=(step("umask", 0), step("hostname", "x" * 70)))
    with pytest.raises(StepFailed) as caught:
        await task.shim.prepare(plan.ahead_file())
    assert (caught.value.part, caught.value.number) == ("ahead", 1)
    assert caught.value.code == errno.EINVAL


@pytest.mark.parametrize(
    ("name", "code"),
    [("missing", errno.ENOENT), ("/tmp", errno.EACCES), ("/etc/text", errno.ENOEXEC)],
)
@asynchronous
async def test_a_program_that_cannot_be_executed_is_named(lab: Lab, name: str, code: int) -> None:
    (lab.root / "etc" / "text").write_text("no script")
    (lab.root / "etc" / "text").chmod(0o755)
    with pytest.raises(StepFailed) as caught:
        await lab.run(name)
    assert (caught.value.code, caught.value.about) == (code, name)


@asynchronous
async def test_an_exec_that_cannot_be_executed_leaves_the_container_alone(lab: Lab) -> None:
    task = await lab.run("cat", stdio=Stdio(stdin=True))
    for terminal in (False, True):
        for nursery in (False, True):
            if nursery:
                await task.shim.nursery(Plan(()).whole_file())
            with pytest.raises(StepFailed) as caught:
                stdio = Stdio(log=False, tty=terminal)
                await within(task.execute("missing", stdio=stdio))
            assert (caught.value.part, caught.value.code) == ("start", errno.ENOENT)
    number = await task.execute("true")
    assert (await task.exit(number)).code == 0


@asynchronous
async def test_a_room_that_waits_ends_with_its_engine(lab: Lab) -> None:
    task = await lab.room()
    task.shim.close()
    _, status = os.waitpid(task.shim.pid, 0)
    assert status == 0


@asynchronous
async def test_a_task_goes_on_without_its_engine_and_meets_the_next(lab: Lab) -> None:
    script = "while read line; do echo got $line; done"
    task, client = await lab.talk("sh", "-c", script, stdio=Stdio(stdin=True))
    number = await task.execute(*SLEEPER)
    pid = task.shim.room_pid
    started = task.shim.first.started.result()
    task.shim.close()
    await client.send(b"alone\n")
    await client.until(b"got alone")

    task.shim = lab.connect(task.state)
    await task.shim.refresh()
    assert task.shim.room_pid == pid
    assert task.shim.first.started.result() == started
    new = await task.execute("sh", "-c", "exit 9", number=number)  # numbers begin anew
    assert (await task.exit(new)).code == 9
    client.half_close()
    await task.shim.kill(0, signal.SIGKILL)
    assert (await task.exit()).code == 137
    await within(task.shim.gone)


@asynchronous
async def test_an_end_without_an_engine_is_written_down(lab: Lab) -> None:
    task, client = await lab.talk("sh", "-c", "read line; exit 5", stdio=Stdio(stdin=True))
    task.shim.close()
    await client.send(b"go\n")
    await client.rest()
    os.waitpid(task.shim.pid, 0)
    record = task.record()
    assert record and os.waitstatus_to_exitcode(record[0]) == 5
    with pytest.raises(NotFound):
        lab.connect(task.state)


@asynchronous
async def test_a_few_engines_can_be_connected_and_one_too_many_is_turned_away(lab: Lab) -> None:
    task = await lab.run(*SLEEPER)
    more = [lab.connect(task.state) for _ in range(3)]
    for shim in more:
        await shim.refresh()
        assert shim.first.started.result() == task.shim.first.started.result()
    with pytest.raises(Gone):
        await within(lab.connect(task.state).refresh())
    number = await task.execute("true")
    assert (await task.exit(number)).code == 0


@asynchronous
async def test_the_container_ends_with_its_supervisor(lab: Lab) -> None:
    task = await lab.run("sh", "-c", "sleep 1000 & sleep 1000")
    await task.shim.nursery(Plan(()).whole_file())
    await task.execute(*SLEEPER)
    os.kill(task.shim.pid, signal.SIGKILL)
    with pytest.raises(Gone):
        await task.exit()
    await within(task.shim.gone)


#: Its own faults, and what nobody can ignore: all others are.
FATAL = {4, 6, 7, 8, 9, 11, 19}


@pytest.mark.parametrize("number", sorted(set(range(1, 32)) - FATAL))
@asynchronous
async def test_signals_do_not_end_a_supervisor(lab: Lab, number: int) -> None:
    task = await lab.run("cat", stdio=Stdio(stdin=True))
    os.kill(task.shim.pid, number)
    await task.shim.refresh()
    await task.shim.kill(0, signal.SIGKILL)
    assert (await task.exit()).code == 137


@asynchronous
async def test_a_second_start_is_refused_and_harmless(lab: Lab) -> None:
    task = await lab.run(*SLEEPER)
    other = lab.connect(task.state)
    with pytest.raises(StepFailed) as caught:
        descriptor = os.open(task.state, os.O_RDONLY)
        try:
            await other.start(Plan((step("exec", ("true",), ()),)).start_file(), descriptor)
        finally:
            os.close(descriptor)
    assert caught.value.code == errno.EBUSY
    number = await task.execute("true")
    assert (await task.exit(number)).code == 0


@asynchronous
async def test_a_stale_socket_does_not_keep_a_task_from_starting(lab: Lab) -> None:
    task = await lab.room()
    (task.state / "control.sock").write_text("of another life")
    await task.start("true", stdio=Stdio())
    assert (await task.exit()).code == 0
