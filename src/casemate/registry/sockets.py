"""Sockets whose reads end at a deadline, however slowly a peer drips.

A socket's own timeout counts from each byte; a peer could hold a thread for ever with one byte a
minute. ``deadline`` (of time.monotonic) bounds all reads until it is moved.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class TimedSocket(socket.socket):
    """A plain connection."""

    deadline: float = 0.0

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Read like a socket, until the deadline."""
        _bound(self, self.deadline)
        return super().recv_into(buffer, nbytes, flags)


class TimedTlsSocket(ssl.SSLSocket):
    """A connection in TLS."""

    deadline: float = 0.0

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Read like a socket, until the deadline."""
        _bound(self, self.deadline)
        return super().recv_into(buffer, nbytes, flags)


AnySocket = TimedSocket | TimedTlsSocket


def _bound(made: socket.socket, deadline: float) -> None:
    """Let the next wait of ``made`` end at ``deadline``. Raises TimeoutError after it."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    timeout_s = made.gettimeout()
    # Each change is a system call; up to a second too late is near enough.
    if timeout_s is None or not left_s <= timeout_s <= left_s + min(1.0, 0.1 * left_s):
        made.settimeout(left_s)
