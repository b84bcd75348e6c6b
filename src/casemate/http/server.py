"""The server: one asyncio protocol for each connection, parsing by httptools (llhttp).

A connection serves one request at a time. A handler returns a Response, or answers by itself
through ``request.exchange`` (streamed or hijacked) and returns None.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable, Mapping
from http import HTTPStatus

import httptools

from casemate.http.message import Body, Handler, Hijacked, Request, Response

_MAX_HEAD_BYTES = 64 << 10
_MAX_HEADERS = 128
#: Reading stops while more than this of a body waits for its handler.
_MAX_BUFFERED = 1 << 20
_LOOK_S = 1.0

_REASONS = {status.value: status.phrase for status in HTTPStatus} | {101: "UPGRADED"}


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, handler: Handler, watch: Callable[[Connection, bool], None]) -> None:
        self._handler = handler
        self._watch = watch
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._writable: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._begin_request()
        self._parser = httptools.HttpRequestParser(self)
        self._pending: list[bytes] = []
        self._reading = True
        self._upgraded = False
        self._ended = False

    # ---- asyncio.Protocol ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=256 << 10)
        self._watch(self, True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch(self, False)
        self._body.end(ConnectionResetError("the client closed the connection"))
        if self._writable and not self._writable.done():
            self._writable.set_exception(ConnectionResetError("the client closed the connection"))
            self._writable.exception()
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._upgraded:
            self._after_upgrade(data)
        elif self._task and self._body.ended:
            self._pending.append(data)  # pipelined: kept until the answer is out
            self._hold()
        else:
            self._parse(data)

    def eof_received(self) -> bool:
        """Stay for a client that has closed its half and waits, not for one that has left."""
        self._ended = True
        if not self._body.ended and self._task:
            self._body.end(ConnectionResetError("the request broke off"))
        if self._task is None or self._has_hung_up():
            return False
        asyncio.get_running_loop().call_later(_LOOK_S, self._look)
        return True

    def _look(self) -> None:
        """See whether a half-closed connection is closed by now: there is no event for that."""
        if self._transport.is_closing():
            return
        if self._has_hung_up():
            self._transport.abort()
        else:
            asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _has_hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), 0)
        return bool(poll.poll(0))

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # ---- parsing ----

    def _begin_request(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._begun = False
        self._body = Body(self._release)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # llhttp stops behind the head; a body that the head announces is still to come.
            self._upgraded = True
            self._left = int(self._headers.get("content-length", "0"))
            self._early = bytearray()
            if self._headers.get("transfer-encoding"):
                self._refuse(400, "an upgrade cannot have a chunked body")
                return
            self._after_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(400, f"bad request: {error}")

    def _after_upgrade(self, data: bytes) -> None:
        if not self._body.ended:
            mine = data[: self._left]
            self._left -= len(mine)
            data = data[len(mine) :]
            if mine:
                self._body.feed(mine)
            if not self._left:
                self._body.end()
        self._early += data
        if len(self._early) > _MAX_BUFFERED:
            self._hold()

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if len(self._headers) >= _MAX_HEADERS:
            raise ValueError("too many headers")
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("the request head is too large")

    def on_headers_complete(self) -> None:
        method = self._parser.get_method().decode("latin-1")
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request = Request(method, self._target, self._headers, self._body, self)
        keep_alive = self._parser.should_keep_alive()
        self._task = asyncio.get_running_loop().create_task(self._serve(request, keep_alive))

    def on_body(self, chunk: bytes) -> None:
        self._body.feed(chunk)
        if self._body.buffered > _MAX_BUFFERED:
            self._hold()

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():
            self._body.end()

    def _hold(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _release(self) -> None:
        if not self._reading and self._body.buffered < _MAX_BUFFERED and not self._upgraded:
            self._reading = True
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # ---- answering ----

    async def _serve(self, request: Request, keep_alive: bool) -> None:
        try:
            response = await self._handler(request)
        except ConnectionError:
            self._transport.abort()
            return
        if response is not None and self._begun:
            # Something went wrong behind the head: only breaking off tells the client.
            self._transport.abort()
            return
        if response is not None:
            self._send(request, response, keep_alive)
        if self._upgraded or self._ended or not keep_alive or self._transport.is_closing():
            self._transport.close()
            return
        if not self._body.ended:
            # The handler did not want the rest; reading it only to skip it may take for ever.
            self._transport.close()
            return
        self._task = None
        self._begin_request()
        pending, self._pending = self._pending, []
        self._release()
        for data in pending:
            self.data_received(data)

    def _send(self, request: Request, response: Response, keep_alive: bool) -> None:
        headers = {
            "Content-Type": response.content_type,
            **response.headers,
            "Content-Length": str(len(response.body)),
        }
        if response.status in (204, 304):
            del headers["Content-Length"], headers["Content-Type"]
        elif not response.body:
            del headers["Content-Type"]
        if not keep_alive:
            headers["Connection"] = "close"
        body = b"" if request.method == "HEAD" else response.body
        self._transport.write(_head(response.status, headers) + body)

    def _refuse(self, status: int, why: str) -> None:
        body = b'{"message":"' + why.replace('"', "'").encode() + b'"}\n'
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        self._transport.write(_head(status, headers | {"Connection": "close"}) + body)
        self._transport.close()

    async def begin(self, status: int, headers: Mapping[str, str]) -> Chunked:
        """Send the head of a streamed response; its body is chunked."""
        head = {**headers, "Transfer-Encoding": "chunked"}
        self._begun = True
        self._transport.write(_head(status, head))
        return Chunked(self)

    async def hijack(self, status: int, headers: Mapping[str, str]) -> Hijacked:
        """Send a head and give the socket away. Nothing is read or written here from now on."""
        self._transport.pause_reading()
        self._reading = False
        self._transport.write(_head(status, headers))
        self._transport.set_write_buffer_limits(high=0)
        await self.drained()
        descriptor = os.dup(self._transport.get_extra_info("socket").fileno())
        early = bytes(self._early) if self._upgraded else b"".join(self._pending)
        self._task = None
        self._transport.abort()  # closes this copy of the descriptor, not the connection
        return Hijacked(descriptor, early)

    async def drained(self) -> None:
        """Wait until the peer has taken enough. Raises ConnectionError."""
        if self._transport.is_closing():
            raise ConnectionResetError("the client closed the connection")
        if self._writable:
            await self._writable

    def write(self, data: bytes) -> None:
        """Write raw bytes of a response."""
        self._transport.write(data)

    def end(self) -> None:
        """Close when the handler is done: for answers that only the end delimits."""
        self._transport.close()

    @property
    def idle(self) -> bool:
        """No request is being served."""
        return self._task is None


class Chunked:
    """The body of a streamed response."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def write(self, data: bytes) -> None:
        """Send one chunk. Raises ConnectionError when the client is gone."""
        if data:
            self._connection.write(b"%x\r\n%b\r\n" % (len(data), data))
            await self._connection.drained()

    async def end(self) -> None:
        """Send the last chunk."""
        self._connection.write(b"0\r\n\r\n")
        await self._connection.drained()


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}"]
    lines.extend(f"{name}: {value}" for name, value in headers.items())
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


class Server:
    """Serves ``handler`` on any number of listening sockets."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        #: When the last connection was opened or closed, by the event loop's clock.
        self.last_change = 0.0

    async def listen_unix(self, path: str, mode: int, group: int = -1) -> None:
        """Listen on the unix socket ``path``, which appears with ``mode`` already set."""
        loop = asyncio.get_running_loop()
        partial = f"{path}.{os.getpid()}"
        before = os.umask(0o177)
        try:
            server = await loop.create_unix_server(self._connection, partial, backlog=1024)
        finally:
            os.umask(before)
        if group >= 0:
            os.chown(partial, -1, group)
        os.chmod(partial, mode)
        os.rename(partial, path)  # never a moment with a socket that refuses
        self._servers.append(server)

    @property
    def busy(self) -> bool:
        """Some connection is open and not just kept alive."""
        return any(not c.idle for c in self._connections)

    def close(self) -> None:
        """Stop listening and break off what is left."""
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.end()

    def _connection(self) -> Connection:
        return Connection(self._handler, self._watch)

    def _watch(self, connection: Connection, opened: bool) -> None:
        self.last_change = asyncio.get_running_loop().time()
        if opened:
            self._connections.add(connection)
        else:
            self._connections.discard(connection)
