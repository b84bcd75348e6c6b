"""Output and input of a process, and the clients that are attached to it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal

import pytest

from casemate.runtime.plan import Plan, Stdio
from support.shims import ALL, FRAMED, OUTPUT, Client, Lab, Task, asynchronous, within

pytestmark = pytest.mark.root

INPUT = Stdio(stdin=True, stdin_once=True)
EXEC_INPUT = Stdio(log=False, stdin=True, stdin_once=True)
LOTS = 20_000_000


@asynchronous
async def test_both_outputs_arrive_apart_in_frames_and_together_without(lab: Lab) -> None:
    task = await lab.room()
    framed, plain = await task.attach(FRAMED), await task.attach(ALL)
    errors = await task.attach(2 * OUTPUT & 4)
    await task.start("sh", "-c", "echo out; sleep 0.01; echo err >&2", stdio=Stdio())
    assert await framed.rest() == (b"out\n", b"err\n")
    assert (await plain.rest())[0] == b"out\nerr\n"
    assert (await errors.rest())[0] == b"err\n"


@pytest.mark.parametrize("nursery", [False, True])
@asynchronous
async def test_input_from_before_the_exec_is_not_lost(lab: Lab, nursery: bool) -> None:
    task = await lab.run("sleep", "1000")
    for size in (1, 5000, 300_000):
        if nursery:
            await task.shim.nursery(Plan(()).whole_file())
        number = task.next()
        client = await task.attach(FRAMED, number)
        data = random.Random(size).randbytes(size)
        sending = asyncio.create_task(_send_all(client, data))
        await task.shim.refresh()  # the supervisor has had the chance to throw it away
        await task.execute("cat", number=number, stdio=EXEC_INPUT)
        assert await within(client.rest()) == (data, b"")
        await sending
        assert (await task.exit(number)).code == 0


async def _send_all(client: Client, data: bytes) -> None:
    await client.send(data)
    client.half_close()


@asynchronous
async def test_input_from_before_the_start_is_not_lost(lab: Lab) -> None:
    task = await lab.room()
    client = await task.attach()
    await client.send(b"early")
    client.half_close()
    await task.shim.refresh()
    await task.start("cat", stdio=INPUT)
    assert await client.rest() == (b"early", b"")


@asynchronous
async def test_input_of_a_client_that_has_gone_is_fed_whole(lab: Lab) -> None:
    os.mkfifo(lab.root / "tmp" / "gate")
    task = await lab.room()
    client = await task.attach()
    await task.start("sh", "-c", "cat /tmp/gate; wc -c", stdio=INPUT)
    data = bytes(120_000)  # more than pipe and supervisor take, and the socket holds
    await client.send(data)
    client.close()
    await task.shim.refresh()
    with open(lab.root / "tmp" / "gate", "w"):
        pass
    assert (await within(task.exit())).code == 0
    assert task.log()[-1].data == b"120000\n"


@asynchronous
async def test_input_that_is_closed_once_ends_with_its_first_client(lab: Lab) -> None:
    for way in ("half", "whole"):
        task = await lab.run("cat", stdio=INPUT)
        client = await task.attach()
        await client.send(b"hello\n")
        await client.until(b"hello\n")
        if way == "half":
            client.half_close()
        else:
            client.close()
        assert (await within(task.exit())).code == 0


@asynchronous
async def test_input_closes_when_its_client_vanishes_amid_output(lab: Lab) -> None:
    task, client = await lab.talk("sh", "-c", "yes & cat; kill $!", stdio=INPUT)
    await client.until(b"y\ny\n")
    client.close()
    assert (await within(task.exit())).code == 0


@asynchronous
async def test_input_that_stays_open_outlives_its_clients(lab: Lab) -> None:
    task = await lab.run("cat", stdio=Stdio(stdin=True))
    for number in range(3):
        client = await task.attach()
        await client.send(b"hello %d\n" % number)
        await client.until(b"hello %d\n" % number)
        client.half_close()
        client.close()
    await task.shim.kill(0, signal.SIGKILL)
    await task.exit()


@asynchronous
async def test_input_that_nobody_asked_for_is_thrown_away(lab: Lab) -> None:
    _, client = await lab.talk("sh", "-c", "cat; sleep 0.1; echo done; sleep 1000")
    await client.send(bytes(1_000_000))
    assert await client.until(b"done") == b"done\n"


@asynchronous
async def test_a_reader_that_stops_reading_only_loses_its_input(lab: Lab) -> None:
    task, client = await lab.talk("sh", "-c", "exec <&-; echo closed; sleep 1000", stdio=INPUT)
    await client.until(b"closed")
    await client.send(bytes(1_000_000))
    client.half_close()
    number = await task.execute("true")
    assert (await task.exit(number)).code == 0


@asynchronous
async def test_a_client_that_does_not_read_holds_the_output_back_in_little_memory(
    lab: Lab,
) -> None:
    task = await lab.room()
    slow, other = await task.attach(OUTPUT), await task.attach(OUTPUT)
    await task.start("head", "-c", str(LOTS), "/dev/zero", stdio=Stdio(log=False))
    got = 0
    with pytest.raises(TimeoutError):  # the other one waits for the slow one, as on a pipe
        while True:
            async with asyncio.timeout(0.5):
                await other._receive()
                got = len(other.received[1])
    assert got < 1_000_000
    task.assert_small(2_000_000)
    both = await asyncio.gather(slow.rest(), other.rest())
    assert [len(out) for out, _ in both] == [LOTS, LOTS]


@asynchronous
async def test_fifty_clients_all_get_everything(lab: Lab) -> None:
    task = await lab.room()
    clients = [await task.attach() for _ in range(50)]
    await task.start("sh", "-c", "seq 1 20000; seq 1 5 >&2", stdio=Stdio())
    wanted = "".join(f"{n}\n" for n in range(1, 20001)).encode()
    for out, err in await within(asyncio.gather(*(c.rest() for c in clients))):
        assert (out, err) == (wanted, b"1\n2\n3\n4\n5\n")
    assert b"".join(e.data for e in task.log() if e.stream == 1) == wanted


@asynchronous
async def test_clients_that_vanish_disturb_nobody(lab: Lab) -> None:
    dice = random.Random(1)
    task = await lab.room()
    steady = await task.attach()
    await task.start("seq", "1", "300000", stdio=Stdio(log=False))
    reading = asyncio.create_task(steady.rest())
    for _ in range(60):
        client = await task.attach(dice.choice([FRAMED, ALL, OUTPUT]))
        if dice.random() < 0.5:
            await client._receive()
        client.close()
    out, _ = await within(reading)
    assert out == "".join(f"{n}\n" for n in range(1, 300001)).encode()


@asynchronous
async def test_what_a_process_leaves_behind_may_go_on_writing(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    number = task.next()
    client = await task.attach(OUTPUT, number)
    await task.execute("sh", "-c", "yes & yes >&2 & echo started", number=number)
    reading = asyncio.create_task(client.rest())
    assert (await within(task.exit(number))).code == 0
    await within(reading)
    task.assert_small(3_000_000)


@asynchronous
async def test_a_large_pipe_cannot_make_the_supervisor_keep_much(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    number = task.next()
    client = await task.attach(OUTPUT, number)
    # Fills its pipe, made as large as may be, while its client does not read.
    await task.execute("sh", "-c", "dd if=/dev/zero bs=1M count=8 2>/dev/null", number=number)
    pid = task.shim.process(number).started.result().pid
    _enlarge(pid, 1 << 20)
    await task.shim.kill(number, signal.SIGKILL)
    await task.exit(number)
    task.assert_small(7_000_000)
    await client.rest()


def _enlarge(pid: int, size: int) -> None:
    with open(f"/proc/{pid}/fd/1", "wb", buffering=0) as pipe:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size)


@asynchronous
async def test_the_end_of_the_output_comes_through_a_flood_of_input(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    for _ in range(20):
        number = task.next()
        client = await task.attach(FRAMED, number)
        flood = asyncio.create_task(_flood(client))
        await task.execute("echo", "enough", number=number, stdio=EXEC_INPUT)
        assert await within(client.until(b"enough\n")) == b"enough\n"
        assert not await within(client._receive())  # an end, and no reset
        flood.cancel()
        client.close()


async def _flood(client: Client) -> None:
    while True:
        await client.send(bytes(50_000))


@asynchronous
async def test_a_client_that_never_stops_sending_is_let_go_in_time(lab: Lab) -> None:
    task = await lab.room()
    client = await task.attach()
    await task.start("true", stdio=INPUT)
    flood = asyncio.create_task(_flood(client))
    await within(task.exit())
    await within(task.shim.gone)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        await within(flood)


@asynchronous
async def test_the_supervisor_ends_although_a_client_has_not_taken_everything(lab: Lab) -> None:
    task = await lab.room()
    client = await task.attach(OUTPUT, buffer_bytes=8192)
    await task.start("head", "-c", "80000", "/dev/zero", stdio=Stdio(log=False))
    assert (await within(task.exit())).code == 0
    await within(task.shim.gone)
    out, _ = await client.rest()
    assert len(out) == 80000


@asynchronous
async def test_an_announced_exec_is_forgotten_with_its_engine(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    other = Task(lab, lab.connect(task.state), task.state, task.namespaces)
    kept = await task.attach(FRAMED, task.next())
    client = await other.attach(FRAMED, 5)
    other.shim.close()
    assert await within(client.rest()) == (b"", b"")
    await task.execute("echo", "here", number=1)
    assert await kept.rest() == (b"here\n", b"")
