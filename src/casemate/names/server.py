"""Listens to engines, and serves the containers that they give it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket

import msgspec

from casemate.names import protocol
from casemate.names.protocol import Container, Forget, Hello
from casemate.names.service import Service
from casemate.names.zone import Zone

_LOG = logging.getLogger("casemate.names")

#: So long it waits for the engine that has started it.
_PATIENCE_S = 20.0
#: So many ids fit into what is said first; who is not named there is served anew.
_TOLD = 1500


class Server:
    """The name server; ``listener`` is where engines connect."""

    def __init__(self, listener: socket.socket) -> None:
        self._zone = Zone()
        self._services: dict[str, Service] = {}
        self._engines = 0
        self._listener = listener
        self._changed = asyncio.Event()

    async def serve(self) -> None:
        """Serve until there is neither an engine nor a container."""
        loop = asyncio.get_running_loop()
        accepting = loop.create_task(self._accept())
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._changed.wait()
            while self._services or self._engines:
                self._changed.clear()
                await self._changed.wait()
        except TimeoutError:
            pass  # nobody has come
        finally:
            accepting.cancel()
            for id_ in list(self._services):
                self._end(id_)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()
        while True:
            engine, _ = await loop.sock_accept(self._listener)
            task = loop.create_task(self._hear(engine))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _hear(self, engine: socket.socket) -> None:
        self._engines += 1
        self._changed.set()
        loop = asyncio.get_running_loop()
        try:
            with engine:
                hello = Hello(protocol.VERSION, os.getpid(), tuple(self._services)[:_TOLD])
                await loop.sock_sendall(engine, protocol.encode(hello))
                while packet := await _packet(engine):
                    self._take(*packet)
        except OSError as error:
            _LOG.warning("an engine: %s", error)
        finally:
            self._engines -= 1
            self._changed.set()

    def _take(self, data: bytes, descriptors: list[int]) -> None:
        try:
            told = protocol.decode_told(data)
        except msgspec.MsgspecError as error:
            _LOG.error("an engine says what is not understood: %s", error)
            told = None
        if isinstance(told, Container):
            self._zone.put(told)
            if len(descriptors) == protocol.SERVED:
                self._begin(told.id, descriptors)
                return
        elif isinstance(told, Forget):
            self._end(told.id)
            self._zone.forget(told.id)
        for descriptor in descriptors:
            os.close(descriptor)

    def _begin(self, id_: str, descriptors: list[int]) -> None:
        self._end(id_)
        datagrams, streams = (socket.socket(fileno=fd) for fd in descriptors[:2])
        service = Service(self._zone, id_, datagrams, streams, descriptors[2])
        self._services[id_] = service
        # A socket keeps its network alive: it must not outlive the container, engine or not.
        asyncio.get_running_loop().add_reader(service.process, self._over, id_, service)
        self._changed.set()

    def _over(self, id_: str, service: Service) -> None:
        if self._services.get(id_) is service:
            self._end(id_)
            self._zone.forget(id_)

    def _end(self, id_: str) -> None:
        service = self._services.pop(id_, None)
        if service:
            asyncio.get_running_loop().remove_reader(service.process)
            service.close()
            self._changed.set()


async def _packet(engine: socket.socket) -> tuple[bytes, list[int]] | None:
    """Return the next message with its descriptors, None at the end."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(engine.fileno(), readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            with contextlib.suppress(BlockingIOError):
                data, fds, _, _ = socket.recv_fds(engine, protocol.MAX_BYTES, protocol.SERVED)
                return (data, fds) if data else None
    finally:
        loop.remove_reader(engine.fileno())
