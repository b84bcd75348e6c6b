"""Answers what one container asks, at the sockets that were opened inside its network."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Coroutine
from typing import Any

from dnslib import DNSError, DNSRecord  # type: ignore[import-untyped]

from casemate.names.forward import forward
from casemate.names.zone import Zone

#: So many questions of one container are being answered at once; more wait in its socket.
_AT_ONCE = 64
_STREAMS = 32
_MAX_UDP = 4096
_IDLE_S = 10.0
_SERVFAIL = 2
# RFC 1035, 4.1.1: the header, and in it the four counts; a response, or an operation.
_HEADER, _COUNTS, _NOT_A_QUERY = 12, 4, 0xF8
_ONE_QUESTION = b"\0\1\0\0\0\0\0\0"
_LABEL, _NAME, _TYPE_AND_CLASS = 63, 255, 4


class Service:
    """The name service of one container; ``process`` is a pidfd: it ends with that process."""

    def __init__(
        self, zone: Zone, id_: str, datagrams: socket.socket, streams: socket.socket, process: int
    ) -> None:
        self.id = id_
        self.process = process
        self._zone = zone
        self._datagrams = datagrams
        self._streams = streams
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._connections = asyncio.Semaphore(_STREAMS)
        self._tasks: set[asyncio.Task[None]] = set()
        for one in (datagrams, streams):
            one.setblocking(False)
        self._run(self._serve_datagrams())
        self._run(self._serve_streams())

    def close(self) -> None:
        """Answer nothing any more."""
        for task in list(self._tasks):
            task.cancel()
        self._datagrams.close()
        self._streams.close()
        os.close(self.process)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_datagrams(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._slots.acquire()
            data, asker = await loop.sock_recvfrom(self._datagrams, _MAX_UDP)
            self._run(self._answer_datagram(data, asker))

    async def _answer_datagram(self, data: bytes, asker: Any) -> None:
        try:
            answer = await self._answer(data, stream=False)
            if answer:
                with contextlib.suppress(OSError):
                    loop = asyncio.get_running_loop()
                    await loop.sock_sendto(self._datagrams, answer, asker)
        finally:
            self._slots.release()

    async def _serve_streams(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._connections.acquire()
            connection, _ = await loop.sock_accept(self._streams)
            self._run(self._answer_stream(connection))

    async def _answer_stream(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        try:
            async with asyncio.timeout(_IDLE_S):
                while True:
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    answer = await self._answer(await reader.readexactly(size), stream=True)
                    if not answer:
                        break
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self._connections.release()

    async def _answer(self, data: bytes, *, stream: bool) -> bytes | None:
        """Return the answer, None for what is no question."""
        query = question(data)
        if query is None:
            return None
        own = self._zone.answer(self.id, query)
        if own is not None:
            return bytes(own.pack())
        asker = self._zone.get(self.id)
        found = await forward(data, asker.upstream if asker else (), stream=stream)
        if found is not None:
            return found
        failed = query.reply(ra=1)
        failed.header.rcode = _SERVFAIL
        return bytes(failed.pack())


def question(data: bytes) -> DNSRecord | None:
    """Return the one question that ``data`` is, None for anything else."""
    end = _end_of_question(data)
    if end is None:
        return None
    try:
        # Nothing behind the question: what is there is nobody's to parse here (EDNS at most).
        return DNSRecord.parse(data[:_COUNTS] + _ONE_QUESTION + data[_HEADER:end])
    except (DNSError, ValueError, IndexError):
        return None


def _end_of_question(data: bytes) -> int | None:
    """Return where the only question ends; None unless it is a plain one, without pointers.

    The library follows pointers, which lead back and forth in a message made for that.
    """
    if len(data) < _HEADER or data[2] & _NOT_A_QUERY or data[_COUNTS : _COUNTS + 2] != b"\0\1":
        return None
    end = _HEADER
    while end < len(data) and 0 < data[end] <= _LABEL and end < _HEADER + _NAME:
        end += data[end] + 1
    if end >= len(data) or data[end] or end > _HEADER + _NAME or end + _TYPE_AND_CLASS >= len(data):
        return None
    return end + 1 + _TYPE_AND_CLASS
