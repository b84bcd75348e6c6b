"""Sockets whose reads end at a deadline, however slowly a peer drips.

A socket's own timeout counts from each byte; a peer could hold a thread for ever with one byte a
minute. ``deadline`` (of time.monotonic) bounds all reads until it is moved.
"""

from __future__ import annotations

import math
import socket
import ssl
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class TimedSocket(socket.socket):
    """A plain connection."""

    deadline: float = math.inf

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """Read like a socket, until the deadline."""
        self.settimeout(left_s(self.deadline))
        return super().recv_into(buffer, nbytes, flags)


class TimedTlsSocket(ssl.SSLSocket):
    """A connection in TLS."""

    deadline: float = math.inf

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Read like a socket, until the deadline."""
        self.settimeout(left_s(self.deadline))
        return super().recv_into(buffer, nbytes, flags)


AnySocket = TimedSocket | TimedTlsSocket


def left_s(deadline: float) -> float | None:
    """Return the seconds until ``deadline``, None for never. Raises TimeoutError after it."""
    if deadline == math.inf:
        return None
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds
