"""Clients that vanish at any moment leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket

import pytest

from casemate.http.message import Request, Response
from unit.http.serving import GET, HEAD_ONLY, Served, ok, run

WHOLE = (
    HEAD_ONLY
    + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    + b"5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n"
)


async def _everything(request: Request) -> Response | None:
    """Do all that a handler can do while a client vanishes."""
    out = await request.exchange.begin(200, {})
    async for piece in request.body.chunks():
        await out.write(piece * 50_000)
        await asyncio.sleep(0)
    await out.write(b"end")
    await out.end()
    return None


async def _hijacking(request: Request) -> None:
    await request.body.read()
    taken = await request.exchange.hijack(101, {})
    await asyncio.sleep(0)
    os.close(taken.descriptor)


async def _waiting(request: Request) -> Response:
    await asyncio.Event().wait()
    return await ok(request)


@pytest.mark.parametrize("handler", [_everything, _hijacking, _waiting, ok])
def test_a_client_may_vanish_at_any_byte(handler: object) -> None:
    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    async def work(sent: int, turns: int) -> None:
        served = await Served().open(handler)  # type: ignore[arg-type]
        await served.send(WHOLE[:sent])
        for _ in range(turns):
            await asyncio.sleep(0)
        await served.close()

    run(work(3, 0))
    before = descriptors()
    for sent in range(0, len(WHOLE) + 1, 3):
        for turns in (0, 1, 2, 5):
            run(work(sent, turns))
    assert descriptors() <= before


def test_a_waiting_handler_is_told_that_its_client_has_left() -> None:
    for half_closed_first in (False, True):

        async def work(half: bool) -> None:
            served = await Served().open(_waiting)
            await served.send(GET % 1)
            if half:
                served.client.shutdown(socket.SHUT_WR)
                await asyncio.sleep(0.01)
                assert not served.gone.is_set()
            await served.close()

        run(work(half_closed_first))
