"""One client's connection to the server, as an asyncio protocol.

It serves one request at a time. A handler returns a Response, or answers by itself through
``request.exchange`` (streamed or hijacked) and returns None.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

from casemate.http.framed import BodyReader, ByChunks, ByLength
from casemate.http.hangups import HangUps
from casemate.http.head import MAX_HEAD_BYTES, BadRequest, Head, parse
from casemate.http.message import Body, Handler, Hijacked, Request, Response

#: Reading stops while more than this of a body, or of what is behind it, waits.
_MAX_BUFFERED = 1 << 20
#: How long a client may take for a head that it has begun.
_HEAD_S = 30.0
#: How long a client is listened to that is told, before it has sent all, that no more is wanted.
_LINGER_S = 2.0

_REASONS = {status.value: status.phrase for status in HTTPStatus} | {101: "UPGRADED"}
_BARE_LF = re.compile(rb"(?<!\r)\n")
_GONE = "the client closed the connection"


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(
        self, handler: Handler, watch: Callable[[Connection, bool], None], hang_ups: HangUps
    ) -> None:
        self._handler = handler
        self._watch = watch
        self._hang_ups = hang_ups
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._writable: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        #: What has arrived and belongs to nobody yet: a head, or what is behind a body.
        self._buffer = bytearray()
        self._searched = 0
        self._head: Head | None = None
        self._body = Body(self._release, self._invite)
        self._reader: BodyReader | None = None
        self._answered = False
        self._reading = True
        self._ended = False
        self._parting = False
        self._timer: asyncio.TimerHandle | None = None
        self._descriptor = -1

    # ---- asyncio.Protocol ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._descriptor = transport.get_extra_info("socket").fileno()
        transport.set_write_buffer_limits(high=256 << 10)
        self._watch(self, True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hang_ups.forget(self._descriptor)
        self._watch(self, False)
        self._stop_timer()
        self._body.end(ConnectionResetError(_GONE))
        if self._writable and not self._writable.done():
            self._writable.set_exception(ConnectionResetError(_GONE))
            self._writable.exception()
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._parting:
            return
        if self._reader and not self._reader.done:
            self._read_body(data)
        else:
            self._buffer += data
            if self._task:
                self._hold_when_full()
            else:
                self._next_request()

    def eof_received(self) -> bool:
        # A client may close its half and still wait for the answer; or it has left.
        self._ended = True
        if self._reader and not self._reader.done:
            self._body.end(ConnectionResetError("the request broke off"))
        if self._task is None or self._parting:
            return False
        self._hang_ups.watch(self._descriptor, self._transport.abort)
        return True

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # ---- reading ----

    def _next_request(self) -> None:
        """Begin with the request in the buffer, once its head is whole."""
        if not self._searched and self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]  # some send an empty line behind a body
        end = self._buffer.find(b"\r\n\r\n", max(0, self._searched - 3), MAX_HEAD_BYTES + 4)
        try:
            if end < 0:
                self._incomplete()
                return
            data = bytes(self._buffer[: end + 4])
            del self._buffer[: end + 4]
            self._searched = 0
            self._stop_timer()
            self._begin(parse(data))
        except BadRequest as error:
            self._refuse(error)

    def _incomplete(self) -> None:
        if len(self._buffer) >= MAX_HEAD_BYTES:
            raise BadRequest(431, f"the head of the request is larger than {MAX_HEAD_BYTES} bytes")
        if _BARE_LF.search(self._buffer, max(0, self._searched - 1)):
            raise BadRequest(400, "bad request: a line that does not end with CRLF")
        self._searched = len(self._buffer)
        if self._ended:
            self._transport.close()
        elif self._buffer and not self._timer:
            loop = asyncio.get_running_loop()
            late = BadRequest(408, f"the head of the request took more than {_HEAD_S:.0f} s")
            self._timer = loop.call_later(_HEAD_S, self._refuse, late)

    def _begin(self, head: Head) -> None:
        self._head = head
        self._answered = False
        self._body = body = Body(self._release, self._invite)
        self._reader = ByChunks() if head.length is None else ByLength(head.length)
        if self._reader.done:
            body.end()
        else:
            data = bytes(self._buffer)
            self._buffer.clear()
            self._read_body(data)
            if self._ended and not self._reader.done:
                body.end(ConnectionResetError("the request broke off"))
            self._release()
            if self._parting:
                return
        request = Request(head.method, head.target, head.headers, body, self)
        self._task = asyncio.get_running_loop().create_task(self._serve(request))

    def _read_body(self, data: bytes) -> None:
        assert self._reader
        try:
            pieces, rest = self._reader.feed(data)
        except BadRequest as error:
            self._body.end(ConnectionResetError(error.reason))
            self._refuse(error)
            return
        for piece in pieces:
            self._body.feed(piece)
        if self._reader.done:
            self._body.end()
            self._buffer += rest
        self._hold_when_full()

    def _invite(self) -> None:
        """The handler waits for the body, of which nothing has arrived."""
        if self._head and self._head.expects and not self._answered:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _hold_when_full(self) -> None:
        if self._reading and max(self._body.buffered, len(self._buffer)) > _MAX_BUFFERED:
            self._reading = False
            self._transport.pause_reading()
            self._hang_ups.watch(self._descriptor, self._transport.abort)

    def _release(self) -> None:
        if self._reading or max(self._body.buffered, len(self._buffer)) > _MAX_BUFFERED:
            return
        self._reading = True
        if not self._transport.is_closing():
            self._hang_ups.forget(self._descriptor)
            self._transport.resume_reading()

    # ---- answering ----

    async def _serve(self, request: Request) -> None:
        try:
            response = await self._handler(request)
            if response is not None:
                self._send(response)
        except ConnectionError:
            self._transport.abort()
        except asyncio.CancelledError:
            if not self._parting:  # or the client is told what was wrong
                self._transport.abort()
            raise
        except BaseException:
            self._transport.abort()  # a defect: nothing can be said any more
            raise
        else:
            self._finished()

    def _finished(self) -> None:
        """The answer is out: go on with the next request, or part."""
        assert self._head
        if self._transport.is_closing() or self._parting:
            return
        if not self._answered:
            self._transport.abort()  # a handler that has said nothing
            return
        if not (self._head.keep_alive and self._body.ended):
            self._part()
            return
        self._task = None
        self._reader = None
        # What the handler did not want of the body keeps nobody from sending the next request.
        self._body = Body(self._release, self._invite)
        if self._buffer or self._ended:
            self._next_request()
        if not self._task:
            self._release()

    def _part(self, *, more: bool = False) -> None:
        """End the connection so that the client has the answer; ``more`` if it may send more.

        A connection that is closed while something is unread breaks, and the answer with it.
        """
        if self._ended or (self._body.ended and not self._buffer and not more):
            self._transport.close()
            return
        self._parting = True
        self._buffer.clear()
        self._transport.write_eof()
        self._stop_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_LINGER_S, self._transport.abort)
        self._reading = True
        self._hang_ups.forget(self._descriptor)
        self._transport.resume_reading()

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _send(self, response: Response) -> None:
        assert self._head
        if self._answered:
            self._transport.abort()  # too late for another answer: it breaks off instead
            return
        headers = {
            "Content-Type": response.content_type,
            **response.headers,
            "Content-Length": str(len(response.body)),
        }
        if response.status in (204, 304):
            del headers["Content-Length"], headers["Content-Type"]
        elif not response.body:
            del headers["Content-Type"]
        body = b"" if self._head.method == "HEAD" else response.body
        self._transport.write(self._opened(response.status, headers) + body)

    def _opened(self, status: int, headers: Mapping[str, str]) -> bytes:
        """Return the head of the answer."""
        assert self._head
        self._answered = True
        if not (self._head.keep_alive and self._body.ended):
            headers = {**headers, "Connection": "close"}
        elif not self._head.modern:
            headers = {**headers, "Connection": "keep-alive"}
        return _encoded(status, headers)

    def _refuse(self, error: BadRequest) -> None:
        """Answer a request that cannot be served, unless its handler has begun to answer."""
        if self._parting or self._transport.is_closing():
            return
        if self._task:
            self._task.cancel()
        if self._answered and self._task:
            self._transport.abort()
            return
        body = b'{"message":"' + error.reason.replace("\\", "").replace('"', "'").encode() + b'"}\n'
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        self._answered = True
        self._transport.write(_encoded(error.status, headers) + body)
        self._part(more=True)

    async def begin(self, status: int, headers: Mapping[str, str]) -> Streamed:
        """Send the head of a streamed response: chunked, or ended by the end of the connection."""
        assert self._head
        self._check_open()
        if self._head.modern:
            head = self._opened(status, {**headers, "Transfer-Encoding": "chunked"})
        else:
            self._head = self._head._replace(keep_alive=False)
            head = self._opened(status, headers)
        self._transport.write(head)
        return Streamed(self, chunked=self._head.modern, silent=self._head.method == "HEAD")

    async def hijack(self, status: int, headers: Mapping[str, str]) -> Hijacked:
        """Send a head and give the socket away. Nothing is read or written here from now on."""
        await self._body.skip()
        self._check_open()
        self._transport.pause_reading()
        self._reading = False
        self._transport.write(_encoded(status, headers))
        self._answered = True
        self._transport.set_write_buffer_limits(high=0)
        await self.drained()
        self._hang_ups.forget(self._descriptor)
        descriptor = os.dup(self._descriptor)
        early = bytes(self._buffer)
        self._task = None
        self._transport.abort()  # closes this copy of the descriptor, not the connection
        return Hijacked(descriptor, early)

    async def drained(self) -> None:
        """Wait until the peer has taken enough. Raises ConnectionError."""
        self._check_open()
        if self._writable:
            await self._writable

    def _check_open(self) -> None:
        if self._parting or self._transport.is_closing():
            raise ConnectionResetError(_GONE)

    def write(self, data: bytes) -> None:
        """Write raw bytes of a response. Raises ConnectionError."""
        self._check_open()
        self._transport.write(data)

    def end(self) -> None:
        """Close, when what is written has been sent."""
        self._transport.close()

    @property
    def idle(self) -> bool:
        """No request is being served."""
        return self._task is None


class Streamed:
    """The body of a streamed response."""

    def __init__(self, connection: Connection, *, chunked: bool, silent: bool) -> None:
        self._connection = connection
        self._chunked = chunked
        self._silent = silent

    async def write(self, data: bytes) -> None:
        """Send a piece. Raises ConnectionError when the client is gone."""
        if data and not self._silent:
            self._connection.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await self._connection.drained()

    async def end(self) -> None:
        """Say that this was all. Raises ConnectionError when the client is gone."""
        if self._chunked and not self._silent:
            self._connection.write(b"0\r\n\r\n")
        await self._connection.drained()


def _encoded(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}"]
    lines.extend(f"{name}: {value}" for name, value in headers.items())
    data = "\r\n".join(lines).encode("latin-1", "replace")
    if data.count(b"\n") != len(headers) or data.count(b"\r") != len(headers):
        raise ValueError("a header with a line break")
    return data + b"\r\n\r\n"
