"""Connections that outlive a request, and the one way to break them all.

A connection is kept for its host when its last reply was read to the end, and handed to whichever
thread asks next.
"""

from __future__ import annotations

import http.client
import select
import socket
import threading

from casemate.registry.config import RegistryConfig
from casemate.registry.dial import Dialer
from casemate.registry.retry import check_stop
from casemate.registry.sockets import AnySocket
from casemate.registry.urls import Origin

_IDLE_PER_HOST = 8


class Connection(http.client.HTTPConnection):
    """A connection that a Dialer opens."""

    def __init__(self, origin: Origin, dialer: Dialer, stop: threading.Event) -> None:
        super().__init__(origin.host, origin.port)
        self.origin = origin
        self._dialer = dialer
        self._stop = stop
        self.socket: AnySocket | None = None

    def connect(self) -> None:
        """Open the socket. Raises Unavailable or Transient."""
        self.sock = self.socket = self._dialer.open(self.origin)
        # An abort that came while this connected found no socket to shut down.
        check_stop(self._stop)

    def opened(self) -> AnySocket:
        """Return the socket of a connection that was connected."""
        if self.socket is None:
            raise ConnectionAbortedError("not connected")
        return self.socket

    def is_stale(self) -> bool:
        """Return whether the server has closed (or written) where it had nothing to say."""
        poll = select.poll()
        if self.sock is None:
            return True
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))


class Connections:
    """The open connections of one operation; shared by threads."""

    def __init__(self, config: RegistryConfig, stop: threading.Event) -> None:
        self.config = config
        self.dialer = Dialer(config)
        self.stop = stop
        self._lock = threading.Lock()
        self._idle: dict[Origin, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._keeps = True

    def take(self, origin: Origin) -> Connection:
        """Return an idle connection to ``origin``, or a new one that is not yet open."""
        while True:
            with self._lock:
                check_stop(self.stop)
                idle = self._idle.get(origin)
                connection = idle.pop() if idle else Connection(origin, self.dialer, self.stop)
                self._busy.add(connection)
            if connection.socket is None or not connection.is_stale():
                return connection
            self.drop(connection)

    def give_back(self, connection: Connection) -> None:
        """Keep ``connection``, whose last reply was read to its end, for the next request."""
        with self._lock:
            self._busy.discard(connection)
            idle = self._idle.setdefault(connection.origin, [])
            if self._keeps and len(idle) < _IDLE_PER_HOST:
                idle.append(connection)
                return
        connection.close()

    def drop(self, connection: Connection) -> None:
        """Close ``connection``."""
        with self._lock:
            self._busy.discard(connection)
        connection.close()

    def abort(self) -> None:
        """Break what is under way, from another thread: every read and write ends at once."""
        with self._lock:
            self.stop.set()
            for connection in self._busy:
                if connection.socket is not None:
                    _shut_down(connection.socket)

    def close(self) -> None:
        """Close the idle connections, and each other one when its reply is closed."""
        with self._lock:
            self._keeps = False
            idle = [connection for found in self._idle.values() for connection in found]
            self._idle.clear()
        for connection in idle:
            connection.close()


def _shut_down(made: AnySocket) -> None:
    try:
        # Not SSLSocket's own method: that would hand the reader what is left undecrypted.
        socket.socket.shutdown(made, socket.SHUT_RDWR)
    except OSError:
        # Not connected any more, which is what was wanted.
        pass
