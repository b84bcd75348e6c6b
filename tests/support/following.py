"""Many streams of one engine, all read as they come by one thread."""

from __future__ import annotations

import selectors
import socket
import threading
from types import TracebackType

from support.engine import PREFIX, RunningEngine


class Stream:
    """An answer that goes on: what came of it so far, and whether it has ended."""

    def __init__(self, engine: RunningEngine, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(engine.socket)
        # To a client of HTTP/1.0 a body is sent as it is, until the connection ends.
        self.socket.sendall(f"GET {PREFIX}{path} HTTP/1.0\r\n\r\n".encode())
        self._data = bytearray()
        self.ended = False

    def take(self) -> bool:
        """Read what is there; False at the end."""
        data = self.socket.recv(1 << 16)
        self._data += data
        self.ended = not data
        return not self.ended

    @property
    def body(self) -> bytes:
        """What came behind the head."""
        head, _, body = bytes(self._data).partition(b"\r\n\r\n")
        assert not head or head.split(b" ")[1] == b"200", self._data
        return body


class Following:
    """Reads streams until its block ends, which breaks off those that go on."""

    def __init__(self, engine: RunningEngine) -> None:
        self._engine = engine
        self._streams: list[Stream] = []
        self._selector = selectors.DefaultSelector()
        self._over, self._tell = socket.socketpair()
        self._selector.register(self._over, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Following:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tell.close()
        self._thread.join()
        self._selector.close()
        self._over.close()
        for stream in self._streams:
            stream.socket.close()

    def follow(self, path: str) -> Stream:
        """Ask for ``path`` and read what comes."""
        stream = Stream(self._engine, path)
        self._streams.append(stream)
        self._selector.register(stream.socket, selectors.EVENT_READ, stream)
        return stream

    def _read(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                if not key.data.take():
                    self._selector.unregister(key.fileobj)
