"""What a request carries: bytes, a part of a file, or a stream of unknown length."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import BinaryIO, Protocol

from casemate.errors import DataLoss
from casemate.registry.sockets import AnySocket, TimedSocket

#: A step of sending: between two of them progress is told and a stall is noticed.
_STEP = 1 << 20
_TLS_STEP = 64 << 10

#: Told the number of bytes that are through.
Sent = Callable[[int], None]


class Body(Protocol):
    """A request's body. It can be sent once more only when ``repeatable``."""

    repeatable: bool

    def header(self) -> tuple[str, str]:
        """Return the header that says how long the body is."""

    def send(self, socket: AnySocket) -> None:
        """Send the body after the head. Raises OSError."""


class DataBody:
    """A body of bytes, often of none."""

    repeatable = True

    def __init__(self, data: bytes = b"") -> None:
        self._data = data

    def header(self) -> tuple[str, str]:
        """Content-Length."""
        return "Content-Length", str(len(self._data))

    def send(self, socket: AnySocket) -> None:
        """Send the bytes."""
        if self._data:
            socket.sendall(self._data)


class FileBody:
    """``size`` bytes of ``file`` from ``offset`` on; ``sent`` is told the offset reached."""

    repeatable = True

    def __init__(self, file: BinaryIO, offset: int, size: int, sent: Sent) -> None:
        self._file = file
        self._offset = offset
        self._size = size
        self._sent = sent

    def header(self) -> tuple[str, str]:
        """Content-Length."""
        return "Content-Length", str(self._size)

    def send(self, socket: AnySocket) -> None:
        """Send the bytes, by sendfile(2) where there is no TLS."""
        position, end = self._offset, self._offset + self._size
        while position < end:
            if isinstance(socket, TimedSocket):
                count = socket.sendfile(self._file, position, min(_STEP, end - position))
            else:
                piece = os.pread(self._file.fileno(), min(_TLS_STEP, end - position), position)
                socket.sendall(piece)
                count = len(piece)
            if not count:
                raise DataLoss(f"the blob to send ends at {position} bytes instead of {end}")
            position += count
            self._sent(position)


class StreamBody:
    """Pieces of unknown number and size, sent in chunks."""

    repeatable = False

    def __init__(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        self._pieces = pieces

    def header(self) -> tuple[str, str]:
        """Transfer-Encoding."""
        return "Transfer-Encoding", "chunked"

    def send(self, socket: AnySocket) -> None:
        """Send each piece as a chunk (RFC 9112 section 7.1)."""
        for piece in self._pieces:
            view = memoryview(piece).cast("B")
            for start in range(0, len(view), _TLS_STEP):
                part = view[start : start + _TLS_STEP]
                socket.sendall(b"".join((b"%x\r\n" % len(part), part, b"\r\n")))
        socket.sendall(b"0\r\n\r\n")
