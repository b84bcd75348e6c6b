"""Requests and responses as the server's handlers see them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl, unquote

from casemate.errors import InvalidArgument

#: JSON bodies are small; archives are streamed and have no such limit.
MAX_BODY_BYTES = 4 << 20

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")


class Response(NamedTuple):
    """A whole response."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


class Hijacked(NamedTuple):
    """A connection that left HTTP: the caller owns ``descriptor``, a connected stream socket.

    ``early`` was received behind the request already.
    """

    descriptor: int
    early: bytes


class Stream(Protocol):
    """Where a streamed response is written."""

    async def write(self, data: bytes) -> None:
        """Send ``data``; waits while the peer reads too slowly. Raises ConnectionError."""

    async def end(self) -> None:
        """Say that this was all."""


class Exchange(Protocol):
    """What a request can do besides being answered; the server's connection implements it."""

    async def begin(self, status: int, headers: Mapping[str, str]) -> Stream:
        """Send the head of a streamed response and return where its body goes."""

    async def hijack(self, status: int, headers: Mapping[str, str]) -> Hijacked:
        """Send a head without a body and leave HTTP."""


class Body:
    """The body of a request, as it arrives.

    ``resume`` is called when some of it was taken, ``invite`` before the first wait for any of it.
    """

    def __init__(self, resume: Callable[[], None], invite: Callable[[], None]) -> None:
        self._chunks: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._resume = resume
        self._invite: Callable[[], None] | None = invite
        self._error: Exception | None = None
        self.buffered = 0
        self.ended = False

    def feed(self, chunk: bytes) -> None:
        """Add what has arrived."""
        self._chunks.append(chunk)
        self._invite = None
        self.buffered += len(chunk)
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        """Tell that no more will arrive, because of ``error`` if there is one."""
        if not self.ended:
            self.ended = True
            self._error = error
        self._wake()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces. Raises ConnectionError when it breaks off."""
        while True:
            while self._chunks:
                chunk = self._chunks.pop(0)
                self.buffered -= len(chunk)
                self._resume()
                yield chunk
            if self._error:
                raise self._error
            if self.ended:
                return
            if self._invite:
                self._invite()
                self._invite = None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    async def read(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """Return the whole body. Raises InvalidArgument when it is larger than ``limit`` bytes."""
        if self.ended and len(self._chunks) == 1 and not self._error and self.buffered <= limit:
            self.buffered = 0
            return self._chunks.pop()
        whole = bytearray()
        async for chunk in self.chunks():
            whole += chunk
            if len(whole) > limit:
                raise InvalidArgument(f"the request body is larger than {limit} bytes")
        return bytes(whole)

    async def skip(self) -> None:
        """Read over what is left. Raises InvalidArgument when it is large, ConnectionError."""
        await self.read()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


class Request:
    """One request. ``path`` is decoded, without query; header names are lower case."""

    def __init__(
        self, method: str, target: bytes, headers: dict[str, str], body: Body, exchange: Exchange
    ) -> None:
        raw_path, _, query = target.decode("latin-1").partition("?")
        self.method = method
        self.path = unquote(raw_path)
        self.raw_query = query
        self.headers = headers
        self.body = body
        self.exchange = exchange

    @property
    def query(self) -> dict[str, str]:
        """The query's values; the last one of a repeated name."""
        return dict(self.query_items())

    def query_items(self) -> list[tuple[str, str]]:
        """The query in order, with repetitions. Raises InvalidArgument for too many."""
        try:
            return parse_qsl(self.raw_query, keep_blank_values=True, max_num_fields=1000)
        except ValueError as error:
            raise InvalidArgument(f"invalid query: {error}") from error

    def query_all(self, name: str) -> list[str]:
        """Return every value of ``name``."""
        return [value for key, value in self.query_items() if key == name]

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean of the query as Docker's clients spell it: 1, true, True, t."""
        value = self.query.get(name)
        if value is None or value == "":
            return default
        if value.lower() in ("1", "true", "t", "yes"):
            return True
        if value.lower() in ("0", "false", "f", "no", "none"):
            return False
        raise InvalidArgument(f"invalid value {value[:80]!r} for {name}: not a boolean")

    def number(self, name: str) -> int | None:
        """Return a whole number of the query, None when it is absent."""
        value = self.query.get(name)
        if value is None or value == "":
            return None
        if not _WHOLE.fullmatch(value) or not -(1 << 63) <= int(value) < 1 << 63:
            raise InvalidArgument(
                f"invalid value {value[:80]!r} for {name}: not a whole number of 64 bits"
            )
        return int(value)


Handler = Callable[[Request], Awaitable[Response | None]]
