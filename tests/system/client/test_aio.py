"""The Python API in an event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

import pytest

import casemate
from casemate import aio
from casemate.errors import InvalidArgument, NotFound
from support.engine import RunningEngine, eventually

pytestmark = pytest.mark.root

P = ParamSpec("P")


def asynchronous(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in an event loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def at(engine: RunningEngine) -> aio.Engine:
    return aio.Engine(f"unix://{engine.socket}")


def left(engine: RunningEngine) -> list[str]:
    return [item["Id"] for item in engine.client.get("/containers/json?all=1")]


@asynchronous
async def test_a_run_is_awaited_for_its_result(engine: RunningEngine) -> None:
    async with at(engine) as api:
        result = await api.run("busybox", ["sh", "-c", "cat; exit 3"], input=b"x" * 500_000)
        assert (result.exit_code, len(result.stdout)) == (3, 500_000)
        with pytest.raises(casemate.Failed):
            await api.run("busybox", ["false"], check=True)
        with pytest.raises(casemate.Timeout):
            await api.run("busybox", ["sleep", "60"], timeout=0.2)
        with pytest.raises(casemate.OutputLimit):
            await api.run("busybox", ["yes"], output_limit=10_000)
        with pytest.raises(InvalidArgument, match="memory='x'"):
            api.run("busybox", memory="x")
        with pytest.raises(NotFound):
            await api.containers.get("nothing")


@asynchronous
async def test_streams_are_read_while_it_runs(engine: RunningEngine) -> None:
    script = "while read line; do echo got $line; echo seen >&2; done"
    async with at(engine) as api, api.run("busybox", ["sh", "-c", script], stdin=True) as c:
        await c.stdin.write(b"one\n")
        assert await c.stdout.readline() == b"got one\n"
        await c.stdin.write(b"two\nthree\n")
        c.stdin.close()
        reading = asyncio.create_task(c.stderr.read())
        assert [line async for line in c.stdout] == [b"got two\n", b"got three\n"]
        assert await reading == b"seen\n" * 3
        assert await c.wait() == c.exit_code == 0


@asynchronous
async def test_many_run_at_once_in_one_loop(engine: RunningEngine) -> None:
    async with at(engine) as api:
        runs = [api.run("busybox", ["sh", "-c", f"sleep 1; echo {n}"]) for n in range(30)]
        results = await asyncio.gather(*runs)
        assert [int(result.text) for result in results] == list(range(30))


@pytest.mark.parametrize("after_s", [0, 0.002, 0.005, 0.01, 0.02, 0.1])
@asynchronous
async def test_what_is_cancelled_is_gone(engine: RunningEngine, after_s: float) -> None:
    async with at(engine) as api:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(api.run("busybox", ["sleep", "60"]), after_s)
        eventually(lambda: left(engine), lambda found: not found)


@asynchronous
async def test_the_end_of_the_statement_is_the_end_of_the_container(engine: RunningEngine) -> None:
    async with at(engine) as api:
        with pytest.raises(ZeroDivisionError):
            async with api.run("busybox", ["sleep", "60"]) as c:
                reading = asyncio.create_task(c.stdout.read())
                await asyncio.sleep(0)
                raise ZeroDivisionError
        assert not left(engine)
        assert await reading == b""


@asynchronous
async def test_the_time_counts_when_nobody_waits(engine: RunningEngine) -> None:
    async with at(engine) as api, api.run("busybox", ["sleep", "60"], timeout=0.3) as c:
        await asyncio.to_thread(eventually, lambda: left(engine), lambda found: not found)
        with pytest.raises(casemate.Timeout):
            await c.wait()


@asynchronous
async def test_containers_images_and_files(engine: RunningEngine) -> None:
    async with at(engine) as api:
        assert [image.tags for image in await api.images.list()] == [("busybox:latest",)]
        c = await api.containers.create("busybox", ["sh", "-c", "echo said; exec sleep 60"])
        try:
            await c.start()
            waiting = asyncio.create_task(c.wait())
            await c.put("/in/x", "data")
            assert await c.get("/in/x") == b"data"
            assert (await c.exec(["cat"], input=b"y")).stdout == b"y"
            assert (await c.logs()).stdout == b"said\n"
            assert (await c.stats())["id"] == c.id
            await c.kill()
            assert await waiting == 137
            assert [line async for line in c.follow()] == [b"said\n"]
        finally:
            await c.remove(force=True)
        assert await api.containers.list(all=True) == []


@asynchronous
async def test_a_pool_is_shared_by_tasks(engine: RunningEngine) -> None:
    async with at(engine) as api, aio.Pool("busybox", 2, engine=api) as pool:
        results = await asyncio.gather(*(pool.run(["echo", str(n)]) for n in range(8)))
        assert [int(result.text) for result in results] == list(range(8))
        with pytest.raises(casemate.Timeout):
            await pool.run(["sleep", "60"], timeout=0.2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.run(["sleep", "60"]), 0.2)
        assert (await pool.run(["echo", "well"])).text == "well\n"
    eventually(lambda: left(engine), lambda found: not found)


@asynchronous
async def test_nothing_is_left_open(engine: RunningEngine) -> None:
    async with at(engine) as api:
        await api.run("busybox", ["true"])
    before = len(os.listdir("/proc/self/fd"))
    async with at(engine) as api:
        await asyncio.gather(*(api.run("busybox", ["true"]) for _ in range(20)))
    assert len(os.listdir("/proc/self/fd")) <= before
    assert not left(engine)
