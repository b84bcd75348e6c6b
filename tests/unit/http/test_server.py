"""The server's conduct: order, limits, hijacking, and clients that vanish."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import tracemalloc
from pathlib import Path

import pytest

from casemate.http import connection as connections
from casemate.http.message import Request, Response
from casemate.http.server import Server
from unit.http.serving import GET, HEAD_ONLY, Seen, Served, exchanged, ok, recording, run


def test_answers_come_in_the_order_of_the_requests() -> None:
    active = 0

    async def handler(request: Request) -> Response:
        nonlocal active
        active += 1
        assert active == 1  # one at a time
        for _ in range(3):
            await asyncio.sleep(0)
        active -= 1
        return await ok(request)

    said = run(exchanged(handler, b"".join(GET % n for n in range(20))))
    bodies = [part.rpartition(b"\r\n\r\n")[2] for part in said.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"/%d" % n for n in range(20)]


def test_a_connection_is_kept_until_it_is_told_to_close() -> None:
    said = run(
        exchanged(
            ok,
            GET % 1,
            b"GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + GET % 3,
            half_close=False,
        )
    )
    assert said.count(b"HTTP/1.1 200") == 2
    assert said.count(b"Connection: close") == 1


def test_a_large_body_that_nobody_wanted_does_not_stop_the_connection() -> None:
    async def unread(request: Request) -> Response:
        while not request.body.ended:
            await asyncio.sleep(0)
        return await ok(request)

    body = bytes((1 << 20) + 5000)
    first = HEAD_ONLY + b"Content-Length: %d\r\n\r\n" % len(body) + body
    said = run(exchanged(unread, first, GET % 2))
    assert said.count(b"HTTP/1.1 200") == 2
    assert said.endswith(b"/2")


def test_old_clients_are_answered_in_their_way() -> None:
    async def streaming(request: Request) -> None:
        out = await request.exchange.begin(200, {})
        await out.write(b"one ")
        await out.write(b"two")
        await out.end()

    assert run(exchanged(ok, b"GET /a HTTP/1.0\r\n\r\n", half_close=False)).endswith(b"\r\n\r\n/a")
    kept = run(exchanged(ok, b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2))
    assert kept.count(b"Connection: keep-alive") == 2
    said = run(exchanged(streaming, b"GET /a HTTP/1.0\r\n\r\n", half_close=False))
    assert b"chunked" not in said and said.endswith(b"\r\n\r\none two")


def test_an_answer_to_head_has_no_body() -> None:
    async def streaming(request: Request) -> None:
        out = await request.exchange.begin(200, {})
        await out.write(b"secret")
        await out.end()

    head = b"HEAD /abc HTTP/1.1\r\nHost: x\r\n\r\n"
    said = run(exchanged(ok, head * 2))
    assert said.count(b"Content-Length: 4") == 2 and b"/abc" not in said
    assert b"secret" not in run(exchanged(streaming, head))


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_content_says_no_length(status: int) -> None:
    async def handler(_: Request) -> Response:
        return Response(status)

    said = run(exchanged(handler, GET % 1))
    assert b"Content-" not in said


def test_a_half_closed_client_gets_its_answer() -> None:
    async def handler(request: Request) -> Response:
        for _ in range(5):
            await asyncio.sleep(0)
        return await ok(request)

    assert run(exchanged(handler, GET % 1 + GET % 2)).count(b"HTTP/1.1 200") == 2


def test_a_handler_that_reads_is_what_invites_the_body() -> None:
    async def reading(request: Request) -> Response:
        return Response(200, await request.body.read(), "text/plain")

    async def refusing(_: Request) -> Response:
        return Response(403, b"no", "text/plain")

    head = HEAD_ONLY + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"

    async def work() -> None:
        served = await Served().open(reading)
        await served.send(head)
        assert await served.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await served.send(b"hello")
        assert (await served.until(b"hello")).startswith(b"HTTP/1.1 200")
        await served.close()

        served = await Served().open(refusing)
        await served.send(head)
        said = await served.rest()
        assert said.startswith(b"HTTP/1.1 403") and b"Connection: close" in said
        await served.close()

        served = await Served().open(reading)
        await served.send(head + b"hello")  # it does not wait: nothing to invite
        assert (await served.until(b"hello")).startswith(b"HTTP/1.1 200")
        await served.close()

    run(work())
    said = run(exchanged(ok, HEAD_ONLY + b"Expect: a miracle\r\n\r\n"))
    assert said.startswith(b"HTTP/1.1 417")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"NONSENSE / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (HEAD_ONLY + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (HEAD_ONLY + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (HEAD_ONLY + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", 400),
        (HEAD_ONLY + b"Transfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", 400),
        (HEAD_ONLY + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 5000, 400),
        (HEAD_ONLY + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
        (HEAD_ONLY + b"X: " + b"y" * 70000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 70000, 431),
        (HEAD_ONLY + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n", 431),
    ],
)
def test_what_cannot_be_served_is_refused(data: bytes, status: int) -> None:
    seen: Seen = []
    for pieces in ([data], [bytes([b]) for b in data[:300]] + [data[300:]]):
        said = run(exchanged(recording(seen), *pieces))
        assert said.startswith(b"HTTP/1.1 %d " % status), said
        assert b'{"message":"' in said
        assert said.count(b"HTTP/1.1") == 1
    assert not seen


def test_a_head_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_HEAD_S", 0.05)
    said = run(exchanged(ok, b"GET / HTTP/1.1\r\n", half_close=False))
    assert said.startswith(b"HTTP/1.1 408")


def test_a_bad_body_ends_its_handler_and_is_answered_once() -> None:
    ended = []
    running = asyncio.Event()

    async def handler(request: Request) -> Response:
        running.set()
        try:
            return Response(200, await request.body.read())
        except (ConnectionError, asyncio.CancelledError) as error:
            ended.append(error)
            raise

    data = HEAD_ONLY + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"

    async def work() -> bytes:
        served = await Served().open(handler)
        await served.send(data)
        await running.wait()
        await served.send(b"nonsense\r\n")
        said = await served.rest()
        await served.close()
        return said

    said = run(work())
    assert said.startswith(b"HTTP/1.1 400") and said.count(b"HTTP/1.1") == 1
    assert ended


def test_a_bad_body_breaks_off_an_answer_that_has_begun() -> None:
    async def handler(request: Request) -> None:
        out = await request.exchange.begin(200, {})
        await out.write(b"so far")
        async for _ in request.body.chunks():
            await out.write(b"x")

    data = HEAD_ONLY + b"Transfer-Encoding: chunked\r\n\r\n"
    said = run(exchanged(handler, data, b"nonsense\r\n"))
    assert said.count(b"HTTP/1.1") == 1 and not said.endswith(b"0\r\n\r\n")


def test_an_error_behind_the_head_breaks_the_answer_off() -> None:
    async def handler(request: Request) -> Response:
        out = await request.exchange.begin(200, {})
        await out.write(b"so far")
        return Response(500, b"too late")

    said = run(exchanged(handler, GET % 1 + GET % 2))
    assert said.count(b"HTTP/1.1") == 1 and b"too late" not in said
    assert not said.endswith(b"0\r\n\r\n")


def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    async def refusing(_: Request) -> Response:
        return Response(413, b"too large", "text/plain")

    async def work() -> bytes:
        served = await Served().open(refusing)
        loop = asyncio.get_running_loop()
        receiving = asyncio.ensure_future(served.rest())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await loop.sock_sendall(
                served.client, HEAD_ONLY + b"Content-Length: 9000000\r\n\r\n" + bytes(8_000_000)
            )
        served.client.shutdown(socket.SHUT_WR)
        said = await receiving
        await served.close()
        return said

    said = run(work())
    assert said.startswith(b"HTTP/1.1 413") and said.endswith(b"too large")


def test_a_client_that_never_stops_sending_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_LINGER_S", 0.05)

    async def work() -> None:
        served = await Served().open(ok)
        await served.send(HEAD_ONLY + b"Content-Length: 9000000\r\n\r\n")
        await asyncio.wait_for(served.gone.wait(), 5)
        await served.close()

    run(work())


def test_a_large_body_is_held_back_until_it_is_wanted() -> None:
    size = 200 << 20

    async def handler(request: Request) -> Response:
        got = 0
        async for piece in request.body.chunks():
            got += len(piece)
            await asyncio.sleep(0)
        return Response(200, b"%d" % got, "text/plain")

    async def work() -> tuple[bytes, int]:
        served = await Served().open(handler)
        loop = asyncio.get_running_loop()
        await served.send(HEAD_ONLY + b"Content-Length: %d\r\n\r\n" % size)
        piece = bytes(1 << 20)
        tracemalloc.start()
        for _ in range(size >> 20):
            await loop.sock_sendall(served.client, piece)
        said = await served.until(b"%d" % size)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        await served.close()
        return said, peak

    said, peak = run(work())
    assert said.endswith(b"%d" % size)
    assert peak < 8 << 20


def test_a_body_that_nobody_reads_stays_with_the_client() -> None:
    async def handler(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def work() -> int:
        served = await Served().open(handler)
        loop = asyncio.get_running_loop()
        await served.send(HEAD_ONLY + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with contextlib.suppress(TimeoutError):
            while True:
                async with asyncio.timeout(0.3):
                    await loop.sock_sendall(served.client, b"4000\r\n" + bytes(0x4000) + b"\r\n")
                    sent += 0x4000
        await served.close()
        return sent

    assert run(work()) < 3 << 20


def test_pipelined_bytes_are_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_MAX_BUFFERED", 10_000)
    go = asyncio.Event()

    async def handler(request: Request) -> Response:
        await go.wait()
        return await ok(request)

    async def work() -> int:
        served = await Served().open(handler)
        loop = asyncio.get_running_loop()
        data = b"".join(GET % n for n in range(40_000))
        sending = asyncio.ensure_future(loop.sock_sendall(served.client, data))
        await asyncio.wait([sending], timeout=0.3)
        assert not sending.done()
        go.set()
        said = await served.until(b"/39999")
        await sending
        await served.close()
        return said.count(b"HTTP/1.1 200 OK")

    assert run(work()) == 40_000


def test_a_slow_reader_holds_its_handler_back() -> None:
    written = 0

    async def handler(request: Request) -> None:
        nonlocal written
        out = await request.exchange.begin(200, {})
        for _ in range(1000):
            await out.write(bytes(1 << 16))
            written += 1 << 16
        await out.end()

    async def work() -> None:
        served = await Served().open(handler)
        await served.send(GET % 1)
        for _ in range(200):
            await asyncio.sleep(0)
        assert written < 2 << 20
        said = await served.until(b"0\r\n\r\n")
        assert len(said) > 1000 << 16
        await served.close()

    run(work())


def test_a_defect_in_a_handler_ends_its_connection_only() -> None:
    async def handler(request: Request) -> Response:
        raise KeyError(request.path)

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: None)  # it tells
        served = await Served().open(handler)
        await served.send(GET % 1)
        assert await served.rest() == b""
        await served.close()

    asyncio.run(work())


def test_a_header_cannot_hold_another() -> None:
    async def handler(_: Request) -> Response:
        return Response(200, headers={"X-Name": "a\r\nSet-Cookie: b"})

    async def work() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: None)
        served = await Served().open(handler)
        await served.send(GET % 1)
        said = await served.rest()
        await served.close()
        return said

    assert asyncio.run(work()) == b""


def test_the_socket_appears_with_its_mode(tmp_path: Path) -> None:
    async def work() -> None:
        server = Server(ok)
        path = str(tmp_path / "s.sock")
        await server.listen_unix(path, 0o660)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        assert os.listdir(tmp_path) == ["s.sock"]
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(GET % 7)
        assert (await reader.readuntil(b"/7")).startswith(b"HTTP/1.1 200")
        assert not server.busy
        server.close()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    run(work())


def test_who_is_accepted_while_the_server_closes_is_not_served() -> None:
    async def work() -> None:
        asked: list[Request] = []

        async def note(request: Request) -> Response:
            asked.append(request)
            return await ok(request)

        server = Server(note)
        ours, theirs = socket.socketpair()
        ours.sendall(GET % 1)
        server.close()
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(server._connection, theirs)
        with ours, contextlib.suppress(ConnectionResetError):  # what was sent is unread
            ours.setblocking(False)
            assert await loop.sock_recv(ours, 1000) == b""
        assert not asked

    run(work())
