"""SIGKILL at any moment leaves nothing; so does everything else that ends at a bad time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal

import pytest

from casemate.errors import Error
from casemate.runtime.plan import Plan, Stdio
from support.shims import Lab, Task, asynchronous, within

pytestmark = pytest.mark.root

EXEC_INPUT = Stdio(log=False, stdin=True, stdin_once=True)


async def busy(task: Task) -> None:
    """Do everything that can be done with a task, until it is gone."""
    with contextlib.suppress(Error, OSError):
        client = await task.attach()
        await task.start("sh", "-c", "yes & yes & sleep 1000", stdio=Stdio())
        await task.shim.nursery(Plan(()).whole_file())
        while True:
            number, _ = await task.talk("sh", "-c", "sleep 1000 & cat", stdio=EXEC_INPUT)
            await task.execute("sleep", "1000")
            await client._receive()
            await task.shim.kill(number, signal.SIGTERM)
            await task.shim.refresh()


@pytest.mark.parametrize("seed", range(40))
@asynchronous
async def test_a_supervisor_killed_at_a_random_moment_leaves_no_process(
    lab: Lab, seed: int
) -> None:
    task = await lab.room()
    work = asyncio.create_task(busy(task))
    for _ in range(random.Random(seed).randrange(60)):
        await asyncio.sleep(0)
    os.kill(task.shim.pid, signal.SIGKILL)
    await within(task.shim.gone)
    await within(work)


@pytest.mark.parametrize("seed", range(20))
@asynchronous
async def test_a_first_process_killed_at_a_random_moment_ends_everything(
    lab: Lab, seed: int
) -> None:
    task = await lab.room()
    work = asyncio.create_task(busy(task))
    for _ in range(random.Random(seed).randrange(60)):
        await asyncio.sleep(0)
    os.kill(task.shim.room_pid, signal.SIGKILL)
    await within(task.shim.gone)
    await within(work)


@pytest.mark.parametrize("seed", range(20))
@asynchronous
async def test_a_nursery_killed_at_a_random_moment_is_done_without(lab: Lab, seed: int) -> None:
    dice = random.Random(seed)
    task = await lab.run("sleep", "1000")
    for _ in range(3):
        nurse = await nurse_of(task)
        work = [asyncio.create_task(_attempt(task)) for _ in range(6)]
        for _ in range(dice.randrange(20)):
            await asyncio.sleep(0)
        os.kill(nurse, signal.SIGKILL)
        while nurse in children(task):
            await task.shim.refresh()
        results = await within(asyncio.gather(*work))
        assert set(results) <= {0, None}
    assert await within(_attempt(task)) == 0
    await task.shim.kill(0, signal.SIGKILL)
    await within(task.exit())  # no child was forgotten: the process namespace can end


async def _attempt(task: Task) -> int | None:
    with contextlib.suppress(Error):
        number = await task.execute("true")
        return (await task.exit(number)).code
    return None


async def nurse_of(task: Task) -> int:
    """Start the nursery, and return its pid."""
    before = children(task)
    await task.shim.nursery(Plan(()).whole_file())
    (nurse,) = children(task) - before
    return nurse


def children(task: Task) -> set[int]:
    """Return the pids of the supervisor's children."""
    with open(f"/proc/{task.shim.pid}/task/{task.shim.pid}/children") as file:
        return set(map(int, file.read().split()))


@asynchronous
async def test_a_stopped_nursery_keeps_nobody_waiting(lab: Lab) -> None:
    """What a frozen or starved cgroup does to it."""
    task, client = await lab.talk("sh", "-c", "while read l; do echo got; done", stdio=EXEC_INPUT)
    nurse = await nurse_of(task)
    os.kill(nurse, signal.SIGSTOP)
    attempt = asyncio.create_task(_attempt(task))
    for _ in range(20):
        await client.send(b"x\n")
        await within(client.until(b"got\n"), 5)
        client.received[1].clear()
        await within(task.shim.refresh(), 5)
    assert not attempt.done()
    os.kill(nurse, signal.SIGCONT)
    assert await within(attempt) == 0


@asynchronous
async def test_a_container_ends_although_its_nursery_is_stopped(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    nurse = await nurse_of(task)
    os.kill(nurse, signal.SIGSTOP)
    attempt = asyncio.create_task(_attempt(task))
    await task.shim.refresh()
    await task.shim.kill(0, signal.SIGKILL)
    assert (await within(task.exit())).code == 137
    await within(task.shim.gone)
    assert await within(attempt) is None
