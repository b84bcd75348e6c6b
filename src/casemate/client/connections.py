"""Connections to one engine, for any number of threads."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from casemate.client.place import Location
from casemate.client.transport import Transport
from casemate.http.client import Reply

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Connections:
    """Requests to the engine at ``location``; connections that are free are used again."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._free: list[Transport] = []
        self._closed = False
        self._pid = os.getpid()

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """Return the JSON answer, None when there is none. Raises the Error of the engine."""
        with self._borrowed() as transport:
            return transport.call(method, path, document)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Reply:
        """Return the answer unread, on a connection of its own that the caller closes."""
        whole = {"Connection": "close", **headers}
        return Transport(self.location).request(method, path, body, whole)

    def hijack(self, path: str, document: Any = None) -> tuple[socket.socket, bytes]:
        """POST ``document`` and leave HTTP: returns the socket, and what was received already."""
        sock, early, _ = Transport(self.location).hijack(path, document)
        return socket.socket(fileno=sock.detach()), early

    def close(self) -> None:
        """Close the connections that are free; from now on each one serves one request."""
        self._closed = True
        while self._free:
            self._free.pop().close()

    @contextmanager
    def _borrowed(self) -> Iterator[Transport]:
        if self._pid != os.getpid():
            # A fork: what its parent goes on using is not ours, nor is the end of it.
            self._free, self._pid = [], os.getpid()
        try:
            transport = self._free.pop()
        except IndexError:
            transport = Transport(self.location)
        try:
            yield transport
        finally:
            self._free.append(transport)
            if self._closed:
                self.close()
