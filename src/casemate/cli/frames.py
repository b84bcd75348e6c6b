"""Several output streams on one connection: frames with a header of eight bytes.

Source: Docker Engine API, ContainerAttach, "Stream format".
"""

from __future__ import annotations

from casemate.errors import Internal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = 8
_ENGINE_ERROR = 3


class Demultiplexer:
    """Takes bytes as they come and gives back pieces of streams, without waiting for a frame."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, memoryview]]:
        """Yield (1 for standard output or 2 for standard error, piece). Raises Internal."""
        view = memoryview(data)
        while view:
            if not self._left:
                view = self._read_header(view)
                continue
            piece = view[: self._left]
            view = view[len(piece) :]
            self._left -= len(piece)
            if self._stream == _ENGINE_ERROR:
                raise Internal(f"error from the engine in the stream: {bytes(piece)!r}")
            yield (2 if self._stream == 2 else 1), piece

    def _read_header(self, view: memoryview) -> memoryview:
        missing = _HEADER - len(self._header)
        self._header += bytes(view[:missing])
        if len(self._header) == _HEADER:
            self._stream = self._header[0]
            self._left = int.from_bytes(self._header[4:], "big")
            if self._stream > _ENGINE_ERROR or any(self._header[1:4]):
                raise Internal(f"unrecognized frame in the stream: {self._header!r}")
            self._header = b""
        return view[missing:]
