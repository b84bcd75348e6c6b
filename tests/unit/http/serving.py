"""A server's connections over socket pairs, without a listening socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from casemate.http.connection import Connection
from casemate.http.hangups import HangUps
from casemate.http.message import Handler, Request, Response

LIMIT_S = 20.0

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD_ONLY = b"POST / HTTP/1.1\r\nHost: x\r\n"


async def ok(request: Request) -> Response:
    """Answer anything."""
    return Response(200, request.path.encode(), "text/plain")


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run ``work`` in an event loop that must have nothing to complain about."""

    async def whole() -> Any:
        complaints: list[dict[str, Any]] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        result = await asyncio.wait_for(work, LIMIT_S)
        await asyncio.sleep(0)
        assert not complaints, complaints
        return result

    return asyncio.run(whole())


class Served:
    """One connection: ``client`` is the other end."""

    def __init__(self) -> None:
        self.client, self._theirs = socket.socketpair()
        self.client.setblocking(False)
        self.hang_ups = HangUps()
        self.gone = asyncio.Event()
        self.connection: Connection | None = None

    async def open(self, handler: Handler) -> Served:
        """Serve ``handler``."""

        def make() -> Connection:
            self.connection = Connection(handler, self._watch, self.hang_ups)
            return self.connection

        await asyncio.get_running_loop().connect_accepted_socket(make, self._theirs)
        return self

    def _watch(self, _: Connection, opened: bool) -> None:
        if not opened:
            self.gone.set()

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each one seen by the server before the next."""
        loop = asyncio.get_running_loop()
        for piece in pieces:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                await loop.sock_sendall(self.client, piece)
            await asyncio.sleep(0)

    async def rest(self) -> bytes:
        """Return what arrives until the end; a reset counts as one."""
        out = b""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionResetError):
            while data := await loop.sock_recv(self.client, 1 << 16):
                out += data
        return out

    async def until(self, mark: bytes) -> bytes:
        """Return what arrives until ``mark`` is in it."""
        out = bytearray()
        loop = asyncio.get_running_loop()
        searched = 0
        while out.find(mark, max(0, searched - len(mark))) < 0:
            searched = len(out)
            data = await loop.sock_recv(self.client, 1 << 16)
            assert data, f"ended before {mark!r}: {bytes(out[-1000:])!r}"
            out += data
        return bytes(out)

    async def close(self) -> None:
        """Close the client, and wait until the server has noticed."""
        self.client.close()
        await asyncio.wait_for(self.gone.wait(), 10)
        self.hang_ups.close()


async def exchanged(handler: Handler, *pieces: bytes, half_close: bool = True) -> bytes:
    """Return all that the server says to ``pieces``."""
    served = await Served().open(handler)
    try:
        receiving = asyncio.ensure_future(served.rest())
        await served.send(*pieces)
        if half_close:
            with contextlib.suppress(OSError):
                served.client.shutdown(socket.SHUT_WR)
        return await receiving
    finally:
        await served.close()


Seen = list[tuple[str, str, bytes]]


def recording(seen: Seen) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    """Return a handler that notes method, path and body."""

    async def handler(request: Request) -> Response:
        body = await request.body.read()
        seen.append((request.method, request.path, body))
        return Response(200, b"%d" % len(body), "text/plain")

    return handler
