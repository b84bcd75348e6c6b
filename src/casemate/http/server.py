"""The server: listens, and knows its connections."""

from __future__ import annotations

import asyncio
import os

from casemate.http.connection import Connection
from casemate.http.hangups import HangUps
from casemate.http.message import Handler


class Server:
    """Serves ``handler`` on any number of listening sockets."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.Server] = []
        self._hang_ups = HangUps()
        self._closed = False
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
        self._servers.append(server)
        try:
            if group >= 0:
                os.chown(partial, -1, group)
            os.chmod(partial, mode)
            os.rename(partial, path)  # never a moment with a socket that refuses
        except OSError:
            os.unlink(partial)
            raise

    @property
    def busy(self) -> bool:
        """Some connection is open and not just kept alive."""
        return any(not c.idle for c in self._connections)

    def close(self) -> None:
        """Stop listening and break off what is left, also what was accepted and not begun with."""
        self._closed = True
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.end()
        self._hang_ups.close()

    def _connection(self) -> Connection:
        return Connection(self._handler, self._watch, self._hang_ups)

    def _watch(self, connection: Connection, opened: bool) -> None:
        self.last_change = asyncio.get_running_loop().time()
        if opened and self._closed:
            connection.end()
        elif opened:
            self._connections.add(connection)
        else:
            self._connections.discard(connection)
