"""One HTTP request and its reply, on a connection that is kept for the next one.

No retry, no redirect, no authentication: that is ``session``.
"""

from __future__ import annotations

import http.client
import time
from types import TracebackType
from typing import NamedTuple, Self

from casemate import __version__
from casemate.errors import InvalidArgument
from casemate.registry import payloads
from casemate.registry.bodies import Body
from casemate.registry.config import RegistryConfig
from casemate.registry.connections import Connection, Connections
from casemate.registry.failures import translating
from casemate.registry.retry import check_stop
from casemate.registry.sockets import AnySocket
from casemate.registry.urls import Url

_PIECE = 16 << 10


class Call(NamedTuple):
    """A request. ``answer_s`` bounds the time until its reply begins; None for the usual."""

    method: str
    url: Url
    headers: tuple[tuple[str, str], ...] = ()
    body: Body | None = None
    answer_s: float | None = None


class Reply:
    """The answer to a Call; close it, read or unread."""

    def __init__(
        self,
        call: Call,
        response: http.client.HTTPResponse,
        connections: Connections,
        connection: Connection,
        *,
        reusable: bool,
    ) -> None:
        self.url = call.url
        self.status = response.status
        self._response = response
        self._connections = connections
        self._connection = connection
        self._socket = connection.opened()
        self._reusable = reusable
        self._closed = False
        self._payload = payloads.of(response)

    def header(self, name: str) -> str | None:
        """Return the header ``name``, None when it is not there."""
        return self._response.headers.get(name)

    def headers(self, name: str) -> list[str]:
        """Return every header ``name``."""
        return self._response.headers.get_all(name, [])

    @property
    def length(self) -> int | None:
        """The bytes in the body, None when the server does not tell."""
        return None if self._response.chunked else self._response.length

    def within(self, limit_s: float) -> None:
        """Let all reads from now on end in ``limit_s`` seconds, whatever comes."""
        self._socket.deadline = time.monotonic() + limit_s

    def readinto(self, view: memoryview) -> int:
        """Read what there is of the body, at most ``len(view)`` bytes; none only at its end.

        Raises Transient when it breaks off.
        """
        with translating(self.url.origin):
            return self._payload.readinto(view)

    def read(self, limit: int, what: str) -> bytes:
        """Return the whole body of at most ``limit`` bytes. ``what`` names it in errors.

        Raises InvalidArgument when it is longer, Transient when it breaks off.
        """
        promised = self.length
        if promised is not None and promised > limit:
            raise InvalidArgument(f"{what}: {promised} bytes are more than {limit}")
        self.within(self._connections.config.timeouts.answer_s)
        data = bytearray()
        piece = memoryview(bytearray(_PIECE))
        while len(data) <= limit and (count := self.readinto(piece[: limit + 1 - len(data)])):
            data += piece[:count]
        if len(data) > limit:
            raise InvalidArgument(f"{what}: more than {limit} bytes")
        return bytes(data)

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._response.close()
        if self._reusable and self._payload.ended and self._connection.sock is not None:
            self._connections.give_back(self._connection)
        else:
            self._connections.drop(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def exchange(connections: Connections, call: Call, authorization: str = "") -> Reply:
    """Send ``call`` and return the reply once its head has come. Raises Transient or an Error."""
    origin = call.url.origin
    connection = connections.take(origin)
    try:
        with translating(origin):
            _send_head(connections.config, connection, call, authorization)
            made = connection.opened()
            # Sending has no end to wait for, so it is bounded step by step.
            made.settimeout(connections.config.timeouts.stall_s)
            sent = _send_body(made, call)
            limit_s = call.answer_s or connections.config.timeouts.answer_s
            made.deadline = time.monotonic() + limit_s
            response = connection.getresponse()
    except BaseException:
        connections.drop(connection)
        # A broken connection is what an abort looks like from here.
        check_stop(connections.stop)
        raise
    return Reply(call, response, connections, connection, reusable=sent)


def _send_head(
    config: RegistryConfig, connection: Connection, call: Call, authorization: str
) -> None:
    origin, target = call.url
    if connection.socket is not None:
        connection.socket.settimeout(config.timeouts.stall_s)
    proxy = config.proxies.serving(origin) if origin.scheme == "http" else None
    if proxy:
        target = f"{origin}{target}"
    connection.putrequest(call.method, target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", origin.netloc)
    connection.putheader("User-Agent", f"casemate/{__version__}")
    # A body must come as it is stored: it has a digest and ranges.
    connection.putheader("Accept-Encoding", "identity")
    if authorization:
        connection.putheader("Authorization", authorization)
    if proxy and proxy.authorization:
        connection.putheader("Proxy-Authorization", proxy.authorization)
    for name, value in (*call.headers, *((call.body.header(),) if call.body else ())):
        connection.putheader(name, value)
    connection.endheaders()


def _send_body(made: AnySocket, call: Call) -> bool:
    """Send the body; return False when the server closed before it had all of it."""
    if call.body is None:
        return True
    try:
        call.body.send(made)
    except (BrokenPipeError, ConnectionResetError):
        # It may have said why before it closed: the reply is read all the same.
        return False
    return True
