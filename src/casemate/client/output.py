"""The two streams of a process that nobody has taken yet."""

from __future__ import annotations

from casemate.http.framing import Demultiplexer

STDOUT, STDERR = 1, 2


class Output:
    """Takes apart what arrives on an attached connection, up to ``limit_bytes`` at a time."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.buffers = {STDOUT: bytearray(), STDERR: bytearray()}
        #: No more comes.
        self.ended = False
        #: More came than was to be kept; what is beyond is thrown away.
        self.overflowed = False
        self._frames = Demultiplexer()

    def feed(self, data: bytes) -> None:
        """Take what has arrived, ``b""`` being the end."""
        if not data:
            self.ended = True
            return
        for stream, piece in self._frames.feed(data):
            room = self.limit_bytes - sum(map(len, self.buffers.values()))
            if len(piece) > room:
                self.overflowed = True
            if stream in self.buffers:
                self.buffers[stream] += piece[: max(room, 0)]

    def take(self, stream: int, size: int = -1) -> bytes:
        """Return and forget up to ``size`` bytes of a stream, all of them for -1."""
        buffer = self.buffers[stream]
        data = bytes(buffer if size < 0 else buffer[:size])
        del buffer[: len(data)]
        return data
