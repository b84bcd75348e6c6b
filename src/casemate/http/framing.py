"""Docker's stream framing: output of two streams on one connection.

Each frame is a stream number (1 output, 2 errors), three zeros, the length as four bytes in network
order, then the data. Source: Docker Engine API, ContainerAttach, section Stream format.
"""

from __future__ import annotations

from collections.abc import Iterator

HEADER_BYTES = 8


def frame(stream: int, length: int) -> bytes:
    """Return the header of a frame of ``length`` bytes."""
    return bytes((stream, 0, 0, 0)) + length.to_bytes(4, "big")


class Demultiplexer:
    """Takes frames apart that arrive in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (stream, data) for what is complete so far, as early as possible."""
        self._buffer += data
        while self._buffer:
            if not self._left:
                if len(self._buffer) < HEADER_BYTES:
                    return
                self._stream = self._buffer[0]
                self._left = int.from_bytes(self._buffer[4:HEADER_BYTES], "big")
                del self._buffer[:HEADER_BYTES]
                continue
            piece = bytes(self._buffer[: self._left])
            del self._buffer[: len(piece)]
            self._left -= len(piece)
            yield self._stream, piece
