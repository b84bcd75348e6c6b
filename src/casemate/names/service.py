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
    try:
        query = DNSRecord.parse(data)
    except (DNSError, ValueError, IndexError):
        return None
    return None if query.header.qr or len(query.questions) != 1 else query
