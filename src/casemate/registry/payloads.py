"""Bodies of replies, read strictly and as they come.

The standard library fills a buffer before it returns, so that a slow peer seems to be silent, and
takes a chunk of negative size to mean "everything". Source: RFC 9112 sections 6.3 and 7.1.
"""

from __future__ import annotations

import http.client
import io
import re
from typing import Protocol

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_MAX_LINE = 4096
_MAX_TRAILERS = 64


class Payload(Protocol):
    """A body; ``ended`` once its last byte was read."""

    ended: bool

    def readinto(self, view: memoryview) -> int:
        """Read what there is, at most ``len(view)`` bytes; none only at the end of the body.

        Raises IncompleteRead when the connection ends before, HTTPException for nonsense.
        """


class PlainPayload:
    """A body of ``size`` bytes, or of all that comes until the connection ends."""

    def __init__(self, source: io.BufferedIOBase, size: int | None) -> None:
        self._source = source
        self.left = size
        self.ended = size == 0

    def readinto(self, view: memoryview) -> int:
        """Read what there is."""
        if self.ended:
            return 0
        count = self._source.readinto1(view if self.left is None else view[: self.left])
        if self.left is not None:
            if not count:
                raise http.client.IncompleteRead(b"", self.left)
            self.left -= count
        self.ended = not count or self.left == 0
        return count


class ChunkedPayload:
    """A body in chunks, of a size that only its end tells."""

    def __init__(self, source: io.BufferedIOBase) -> None:
        self._source = source
        self._left = 0
        self._begun = False
        self.ended = False

    def readinto(self, view: memoryview) -> int:
        """Read what there is of the current chunk, or of the next."""
        if not self._left and not self.ended:
            self._next()
        if self.ended:
            return 0
        count = self._source.readinto1(view[: self._left])
        if not count:
            raise http.client.IncompleteRead(b"", self._left)
        self._left -= count
        return count

    def _next(self) -> None:
        if self._begun and self._line() not in (b"\r\n", b"\n"):
            raise http.client.HTTPException("a chunk is longer than its size")
        self._begun = True
        match = _SIZE.fullmatch(self._line())
        if not match:
            raise http.client.HTTPException("a chunk has no valid size")
        self._left = int(match[1], 16)
        if not self._left:
            self._trailers()
            self.ended = True

    def _trailers(self) -> None:
        for _ in range(_MAX_TRAILERS):
            if self._line() in (b"\r\n", b"\n"):
                return
        raise http.client.HTTPException("too many trailers")

    def _line(self) -> bytes:
        line = self._source.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise http.client.IncompleteRead(b"")
        return line


def of(response: http.client.HTTPResponse) -> Payload:
    """Return the body of ``response``, whose head was read."""
    if response.chunked and response.length != 0:
        return ChunkedPayload(response.fp)
    return PlainPayload(response.fp, response.length)
