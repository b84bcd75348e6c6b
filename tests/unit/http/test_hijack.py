"""Connections that leave HTTP, and bytes that are there already."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from casemate.errors import InvalidArgument
from casemate.http.message import Hijacked, Request, Response
from unit.http.serving import HEAD_ONLY, Served, exchanged, ok, run

UPGRADE = b"Connection: Upgrade\r\nUpgrade: tcp\r\n"


@pytest.mark.parametrize("upgrade", [b"", UPGRADE])
@pytest.mark.parametrize("body", [b"", b"{}"])
@pytest.mark.parametrize("cut", [None, 1, 40])
def test_bytes_behind_a_hijacked_request_belong_to_the_new_stream(
    upgrade: bytes, body: bytes, cut: int | None
) -> None:
    taken: list[Hijacked] = []

    async def handler(request: Request) -> None:
        assert await request.body.read() == body
        taken.append(await request.exchange.hijack(101 if upgrade else 200, {}))

    async def work() -> None:
        served = await Served().open(handler)
        data = HEAD_ONLY + upgrade + b"Content-Length: %d\r\n\r\n" % len(body) + body
        data += b"GET early HTTP/1.1\r\n\r\n\0\xff"
        pieces = [data] if cut is None else [data[:cut], data[cut:]]
        await served.send(*pieces)
        await served.until(b"\r\n\r\n")
        with socket.socket(fileno=taken[0].descriptor) as stream:
            stream.setblocking(False)
            await served.send(b" and late")
            loop = asyncio.get_running_loop()
            wanted = b"GET early HTTP/1.1\r\n\r\n\0\xff and late"
            early = taken[0].early
            while len(early) < len(wanted):
                early += await loop.sock_recv(stream, 100)
            assert early == wanted
            await loop.sock_sendall(stream, b"and back")
            assert await served.until(b"and back") == b"and back"
            assert served.gone.is_set()  # the server has let go
        await served.close()

    run(work())


def test_a_chunked_body_ends_before_the_stream_of_a_hijack() -> None:
    taken: list[Hijacked] = []

    async def handler(request: Request) -> None:
        taken.append(await request.exchange.hijack(101, {}))  # what is left of the body is skipped

    async def work() -> None:
        served = await Served().open(handler)
        body = b"2\r\n{}\r\n0\r\n\r\n"
        await served.send(
            HEAD_ONLY + UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n", body + b"raw"
        )
        await served.until(b"\r\n\r\n")
        os.close(taken[0].descriptor)
        assert taken[0].early == b"raw"
        await served.close()

    run(work())


def test_an_endless_body_cannot_be_skipped_for_a_hijack() -> None:
    refused = []

    async def handler(request: Request) -> Response:
        try:
            await request.exchange.hijack(101, {})
        except InvalidArgument as error:
            refused.append(error)
        return Response(400)

    data = HEAD_ONLY + UPGRADE + b"Content-Length: 9000000\r\n\r\n" + bytes(9_000_000)
    assert run(exchanged(handler, data)).startswith(b"HTTP/1.1 400")
    assert refused


def test_an_upgrade_that_nobody_wants_is_an_ordinary_request() -> None:
    data = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    assert run(exchanged(ok, data * 3)).count(b"HTTP/1.1 200") == 3
