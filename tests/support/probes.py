"""Clients of containers that never let go."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

from support.streams import Streams

_PAUSE_S = 0.01


class Probe:
    """A thread that does something with a port again and again, and counts."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.failures: list[str] = []
        self.successes = 0
        self._ports = ports
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for port in self._ports:
                try:
                    self.once(port)
                    self.successes += 1
                except (OSError, AssertionError) as error:
                    self.failures.append(f"{port}: {error!r}")
            self._stop.wait(_PAUSE_S)

    def once(self, port: int) -> None:
        """Use the port. Raises OSError, AssertionError."""
        assert serves(port)

    def stop(self) -> None:
        """End it; ``failures`` and ``successes`` are whole then."""
        self._stop.set()
        self._thread.join()


class Lasting(Probe):
    """One connection to a port that echoes, kept all the time."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), 10)
        super().__init__([port])

    def once(self, port: int) -> None:
        said = f"{self.successes}\n".encode()
        self._connection.sendall(said)
        heard = b""
        while len(heard) < len(said):
            piece = self._connection.recv(100)
            assert piece, "closed"
            heard += piece
        assert heard == said

    def stop(self) -> None:
        super().stop()
        self._connection.close()


class Listener:
    """A thread that reads what a container says to who is attached, to the end."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._heard = b""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._heard = self._streams.rest()[0]

    def heard(self) -> bytes:
        """Return all of its standard output, when it has ended."""
        self._thread.join()
        return self._heard


def serves(port: int) -> bool:
    """Tell whether a web server answers at the port as ours does; what is wrong raises OSError."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"served" in b"".join(iter(lambda: connection.recv(4096), b""))
