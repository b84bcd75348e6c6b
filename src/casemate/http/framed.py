"""Where a request's body ends: by its length, or by chunks.

A reader is fed what arrives and returns the body's bytes in it, and what is behind the body.
Source: RFC 9112, sections 6 and 7.
"""

from __future__ import annotations

import re
from typing import Protocol

from casemate.http.head import BadRequest

#: Extensions of chunks and trailers are read over, but not without end.
_MAX_LINE = 4096
_MAX_TRAILERS = 16 << 10
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\Z")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*\Z")


class BodyReader(Protocol):
    """Takes a body apart from what is behind it."""

    done: bool

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return pieces of the body, and what is behind it once ``done``. Raises BadRequest."""


class ByLength:
    """A body of a known length."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = not length

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return pieces of the body, and what is behind it."""
        if len(data) < self._left:
            self._left -= len(data)
            return [data] if data else [], b""
        piece, rest = data[: self._left], data[self._left :]
        self._left = 0
        self.done = True
        return [piece] if piece else [], rest


class ByChunks:
    """A chunked body; extensions and trailers are read over."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        self._after_chunk = False
        self._trailers: int | None = None
        self.done = False

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return pieces of the body, and what is behind it. Raises BadRequest."""
        pieces: list[bytes] = []
        data, self._buffer = self._buffer + data, b""
        at = 0
        while not self.done:
            if self._left:
                piece = data[at : at + self._left]
                if not piece:
                    break
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._after_chunk = not self._left
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._buffer = self._unfinished(data[at:])
                return pieces, b""
            self._line(_without_end(data[at : end + 1]))
            at = end + 1
        return pieces, data[at:]

    def _unfinished(self, line: bytes) -> bytes:
        if len(line) > _MAX_LINE:
            raise BadRequest(400, "bad request: a line of the chunked body is too long")
        return line

    def _line(self, line: bytes) -> None:
        if self._after_chunk:
            if line:
                raise BadRequest(400, "bad request: a chunk is longer than it says")
            self._after_chunk = False
        elif self._trailers is None:
            self._size(line)
        elif not line:
            self.done = True
        else:
            self._trailers += len(line)
            if self._trailers > _MAX_TRAILERS or not _TRAILER.match(line):
                raise BadRequest(400, "bad request: invalid trailer")

    def _size(self, line: bytes) -> None:
        match = _CHUNK.match(self._unfinished(line))
        if not match:
            raise BadRequest(400, "bad request: invalid chunk size")
        self._left = int(match[1], 16)
        if not self._left:
            self._trailers = 0


def _without_end(line: bytes) -> bytes:
    if not line.endswith(b"\r\n"):
        raise BadRequest(400, "bad request: a line that does not end with CRLF")
    return line[:-2]
