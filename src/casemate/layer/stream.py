"""Where a tar reader gets its bytes from: chunks that pass once, or a file that can be skipped.

Source is the Protocol; ``Stream`` reads an iterable of chunks, ``FileStream`` an open file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from typing import Protocol

Buffer = bytes | bytearray | memoryview

#: What one piece of a file holds at most, in bytes; it fits the second level cache.
PIECE_BYTES = 1 << 18


class Source(Protocol):
    """Bytes in order. At the end less than was asked for comes back."""

    @property
    def offset(self) -> int:
        """How many bytes were taken or skipped so far."""

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes; fewer only at the end."""

    def skip(self, count: int) -> int:
        """Pass over the next ``count`` bytes; return how many there were."""

    def pieces(self, count: int) -> Iterator[Buffer]:
        """Yield the next ``count`` bytes in pieces of bounded size; fewer only at the end."""


class Stream:
    """An iterable of chunks as a Source; holds one chunk at a time."""

    def __init__(self, chunks: Iterable[Buffer]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0
        self._end = 0
        self._before = 0

    @property
    def offset(self) -> int:
        return self._before + self._at

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end <= self._end:
            block = self._chunk[self._at : end]
            self._at = end
            return block
        return b"".join(self.pieces(count))

    def skip(self, count: int) -> int:
        left = count
        while left > self._end - self._at:
            left -= self._end - self._at
            self._at = self._end
            if not self._advance():
                return count - left
        self._at += left
        return count

    def pieces(self, count: int) -> Iterator[bytes]:
        left = count
        while left > 0 and (self._at < self._end or self._advance()):
            piece = self._chunk[self._at : min(self._at + left, self._end)]
            self._at += len(piece)
            left -= len(piece)
            yield piece

    def drain(self) -> None:
        """Pass over everything that is left."""
        self._at = self._end
        while self._advance():
            self._at = self._end

    def _advance(self) -> bool:
        """Go to the next chunk that is not empty, after the current one is used up."""
        for chunk in self._chunks:
            if chunk:
                self._before += self._end
                self._chunk = chunk if isinstance(chunk, bytes) else bytes(chunk)
                self._at, self._end = 0, len(self._chunk)
                return True
        return False


class FileStream:
    """The first ``size`` bytes of an open file as a Source; skipping costs nothing."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self.offset = 0

    def take(self, count: int) -> bytes:
        return b"".join(self.pieces(count))

    def skip(self, count: int) -> int:
        passed = min(count, self._size - self.offset)
        self.offset += passed
        return passed

    def pieces(self, count: int) -> Iterator[bytes]:
        end = min(self.offset + count, self._size)
        while self.offset < end:
            wanted = min(end - self.offset, PIECE_BYTES)
            piece = os.pread(self._descriptor, wanted, self.offset)
            if not piece:
                return
            self.offset += len(piece)
            yield piece


class TarFile(io.RawIOBase):
    """The first ``size`` bytes of the file ``path``, for reading."""

    def __init__(self, path: str, size: int) -> None:
        super().__init__()
        self.size = size
        self._at = 0
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer)[: self.size - self._at]
        count = os.preadv(self._descriptor, [view], self._at)
        self._at += count
        return count

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes that are left in pieces of bounded size."""
        while piece := self.read(PIECE_BYTES):
            yield piece

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._descriptor)
