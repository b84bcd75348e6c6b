"""A body in chunks, read strictly: the standard library takes a negative size to mean "all".

Source: RFC 9112 section 7.1.
"""

from __future__ import annotations

import http.client
import io
import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_MAX_LINE = 4096
_MAX_TRAILERS = 64


class ChunkReader:
    """Reads the body that follows in ``source``; ``ended`` once its last chunk was seen."""

    def __init__(self, source: io.BufferedIOBase) -> None:
        self._source = source
        self._left = 0
        self._begun = False
        self.ended = False

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` and return how many bytes came; fewer only at the end of the body.

        Raises HTTPException for what is no chunk, IncompleteRead when the connection ends before.
        """
        filled = 0
        while filled < len(view) and not self.ended:
            if not self._left:
                self._next()
                continue
            count = self._source.readinto(view[filled : filled + self._left])
            if not count:
                raise http.client.IncompleteRead(b"")
            filled += count
            self._left -= count
        return filled

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
