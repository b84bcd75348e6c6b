"""Bodies in and out: JSON, filters, streams."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncGenerator, Iterator, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec
import msgspec.inspect

from casemate.api.router import Call
from casemate.engine.engine import Engine
from casemate.errors import DataLoss, InvalidArgument, Unsupported
from casemate.http.hangups import HangUps
from casemate.http.message import Body, Hijacked, Response
from casemate.oci import platform as platforms
from casemate.oci.platform import Platform

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_PIECE = 1 << 16
_MIN, _MAX = -(1 << 63), (1 << 63) - 1

NO_CONTENT = Response(204)
RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


def reply(document: Any, status: int = 200) -> Response:
    """Return ``document`` as JSON."""
    return Response(status, msgspec.json.encode(document) + b"\n")


async def body(call: Call, kind: type[T]) -> T:
    """Return the request's JSON body as a ``kind``; nulls count as absent. Raises
    InvalidArgument.
    """
    found = await optional_body(call, kind)
    if found is None:
        raise InvalidArgument("invalid JSON: got EOF while reading request body")
    return found


async def whole_body(call: Call, kind: type[S]) -> S:
    """Return the body as a ``kind`` that has a place for every member. Raises InvalidArgument,
    Unsupported for a member that nobody knows.
    """
    found = await document(call)
    if found:
        refuse_unknown(found, kind)
    return converted({} if found is None else found, kind)


async def optional_body(call: Call, kind: type[T]) -> T | None:
    """Return the body as ``body`` does, None when there is none."""
    found = await document(call)
    return None if found is None else converted(found, kind)


async def document(call: Call) -> Any:
    """Return the request's JSON body, None when there is none. Raises InvalidArgument."""
    data = await call.request.body.read()
    if not data.strip():
        return None
    try:
        return _present(msgspec.json.decode(data))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"invalid JSON: {error}") from error


def converted(found: Any, kind: type[T]) -> T:
    """Return the JSON value ``found`` as a ``kind``. Raises InvalidArgument."""
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"invalid JSON: {error}") from error


def refuse_unknown(found: Any, kind: type[msgspec.Struct]) -> None:
    """Raise Unsupported for a member of ``found``, at any depth, that ``kind`` does not know and
    that asks for something: it would be ignored.
    """
    _refuse_unknown(found, _type_info(kind))


_type_info = functools.lru_cache(None)(msgspec.inspect.type_info)


def _refuse_unknown(found: Any, kind: msgspec.inspect.Type) -> None:
    if isinstance(kind, msgspec.inspect.UnionType):
        for one in kind.types:
            _refuse_unknown(found, one)
    elif isinstance(kind, msgspec.inspect.ListType) and isinstance(found, list):
        for value in found:
            _refuse_unknown(value, kind.item_type)
    elif isinstance(kind, msgspec.inspect.DictType) and isinstance(found, dict):
        for value in found.values():
            _refuse_unknown(value, kind.value_type)
    elif isinstance(kind, msgspec.inspect.StructType) and isinstance(found, dict):
        known = {field.encode_name: field.type for field in kind.fields}
        for name, value in found.items():
            if value and name not in known:
                raise Unsupported(f"{name[:80]} is not supported")
            if name in known:
                _refuse_unknown(value, known[name])


def _present(value: Any) -> Any:
    """Return ``value`` without nulls, which Go's clients send for what they leave out.

    Raises InvalidArgument for what no field can hold: a NUL, a number beyond 64 bits.
    """
    if isinstance(value, dict):
        return {_present(k): _present(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_present(v) for v in value]
    if isinstance(value, str) and "\0" in value:
        raise InvalidArgument(f"invalid JSON: a string has a NUL: {value[:80]!r}")
    if isinstance(value, int) and not _MIN <= value <= _MAX:
        raise InvalidArgument("invalid JSON: a number is beyond 64 bits")
    return value


def filters(call: Call) -> dict[str, list[str]]:
    """Return the ``filters`` of the query, in both forms that clients use."""
    text = call.request.query.get("filters", "")
    if not text:
        return {}
    try:
        found = msgspec.json.decode(text.encode(), type=dict[str, list[str] | dict[str, bool]])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidArgument(f"invalid filters: {error}") from error
    return {
        name: values if isinstance(values, list) else [v for v, on in values.items() if on]
        for name, values in found.items()
    }


def platform_of(call: Call) -> Platform | None:
    """Return the ``platform`` of the query, None when it is not given. Raises InvalidArgument."""
    text = call.request.query.get("platform", "")
    if not text:
        return None
    if text.startswith("{"):
        try:
            return msgspec.json.decode(text.encode(), type=Platform)
        except msgspec.DecodeError as error:
            raise InvalidArgument(f"invalid platform: {error}") from error
    return platforms.parse(text)


def auth_header(call: Call) -> str:
    """Return the X-Registry-Auth header, empty when there is none."""
    return call.request.headers.get("x-registry-auth", "")


async def hijack(call: Call, content_type: str) -> int:
    """Leave HTTP and return a stream socket that carries what client and process say."""
    upgrade = call.request.headers.get("upgrade", "")
    headers = {"Content-Type": content_type}
    if upgrade:
        headers |= {"Connection": "Upgrade", "Upgrade": "tcp"}
    hijacked = await call.request.exchange.hijack(101 if upgrade else 200, headers)
    if not hijacked.early:
        return hijacked.descriptor
    return await _with_early(call.engine, hijacked)


async def _with_early(engine: Engine, hijacked: Hijacked) -> int:
    """Return one end of a socket pair; between the other end and the client, bytes are copied.

    For clients that have sent input behind their request already: it must come first.
    """
    client = socket.socket(fileno=hijacked.descriptor)
    ours, theirs = socket.socketpair()
    engine.background(_joined(client, ours, hijacked.early))
    return theirs.detach()


async def _joined(client: socket.socket, ours: socket.socket, early: bytes) -> None:
    """Copy both ways until the process's side has ended and the client has all of it."""
    with client, ours:
        client.setblocking(False)
        ours.setblocking(False)
        hang_ups = HangUps()
        outward = asyncio.ensure_future(_copy(ours, client, b""))

        async def input_first() -> None:
            await _copy(client, ours, early)
            # All that it sent counts; then a client that is gone waits for no output.
            hang_ups.watch(client.fileno(), outward.cancel)

        inward = asyncio.ensure_future(input_first())
        try:
            await asyncio.wait([outward])
        finally:
            hang_ups.close()
            inward.cancel()
            outward.cancel()
            await asyncio.wait([inward, outward])


async def _copy(source: socket.socket, sink: socket.socket, first: bytes) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        data = first or await loop.sock_recv(source, _PIECE)
        while data:
            await loop.sock_sendall(sink, data)
            data = await loop.sock_recv(source, _PIECE)
        sink.shutdown(socket.SHUT_WR)


async def stream(
    call: Call,
    pieces: AsyncGenerator[bytes, None],
    content_type: str,
    headers: Mapping[str, str] = {},
) -> None:
    """Answer with ``pieces`` as they come; what they hold is let go when the client goes."""
    async with contextlib.aclosing(pieces):
        out = await call.request.exchange.begin(200, {"Content-Type": content_type, **headers})
        async for piece in pieces:
            await out.write(piece)
        await out.end()


@contextlib.contextmanager
def sent() -> Iterator[None]:
    """Raise what is wrong with bytes that the client has sent as its mistake, not as our loss."""
    try:
        yield
    except DataLoss as error:
        raise InvalidArgument(error.message, hint=error.hint) from error


class BlockingBody:
    """The request's body for a thread: an iterator that waits for the event loop's pieces."""

    def __init__(self, source: Body) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks = source.chunks()
        self._waited_for: Future[bytes | None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self.within(None)) is not None:
            yield piece

    def within(self, limit_s: float | None) -> bytes | None:
        """Return the next piece, None at the end.

        Raises TimeoutError when it takes longer than ``limit_s`` seconds: then it may be asked for
        again.
        """
        if self._waited_for is None:
            self._waited_for = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        piece = self._waited_for.result(limit_s)
        self._waited_for = None
        return piece

    async def _next(self) -> bytes | None:
        return await anext(self._chunks, None)
