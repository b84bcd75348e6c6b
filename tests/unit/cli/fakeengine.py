"""An engine for tests: records requests on a unix socket and gives canned answers."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class Request:
    """One request that was received; ``sock`` is its connection, for answers of a special kind."""

    def __init__(
        self, method: str, target: str, headers: dict[str, str], body: bytes, sock: socket.socket
    ) -> None:
        parts = urlsplit(target)
        version, _, rest = parts.path.removeprefix("/v1.").partition("/")
        self.method = method
        self.path = unquote("/" + rest if version and parts.path.startswith("/v1.") else parts.path)
        self.query = parse_qs(parts.query)
        self.headers = headers
        self.body = body
        self.sock = sock

    @property
    def document(self) -> Any:
        return json.loads(self.body) if self.body else None

    def __repr__(self) -> str:
        return f"<{self.method} {self.path} {self.query}>"


#: Returns (status, document), or None when it has answered on the connection itself.
Answer = Callable[[Request], "tuple[int, Any] | None"]


class FakeEngine:
    def __init__(self, path: str, answers: dict[str, Any] | None = None) -> None:
        self.path = path
        self.address = f"unix://{path}"
        self.requests: list[Request] = []
        self.answers: dict[str, Any] = answers or {}
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(100)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Accept does not wake up when its socket is only closed.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for sock in list(self._open):
            _shut(sock)

    def sent(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if (r.method, r.path) == (method, path)]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self._open.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, sock.makefile("rb") as reader:
            try:
                while request := _read(reader, sock):
                    if request.path != "/_ping":
                        self.requests.append(request)
                    if not self._reply(request):
                        break
            except (OSError, ValueError):
                pass  # the client broke off
        self._open.discard(sock)

    def _reply(self, request: Request) -> bool:
        answer = self.answers.get(f"{request.method} {request.path}", (200, {}))
        if request.path == "/_ping":
            answer = (200, b"OK")
        found = answer(request) if callable(answer) else answer
        if found is None:
            return False
        status, document = found
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        body = b"" if status in (204, 304) or request.method == "HEAD" else body
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nApi-Version: 1.47\r\n"
            f"OSType: linux\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        request.sock.sendall(head.encode() + body)
        return True


def _read(reader: Any, sock: socket.socket) -> Request | None:
    line = reader.readline().decode()
    if not line:
        return None
    method, target, _ = line.split(" ")
    headers: dict[str, str] = {}
    while (header := reader.readline().decode().strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int(reader.readline(), 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, sock)


def _shut(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


@contextmanager
def fake_engine(directory: str, answers: dict[str, Any] | None = None) -> Iterator[FakeEngine]:
    engine = FakeEngine(os.path.join(directory, "engine.sock"), answers)
    try:
        yield engine
    finally:
        engine.close()


def upgraded(request: Request, kind: str = "multiplexed-stream") -> None:
    """Answer a request for a connection of bytes."""
    head = (
        f"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.{kind}\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    )
    request.sock.sendall(head.encode())


def frame(stream: int, data: bytes) -> bytes:
    """Return output as it is sent on a connection with several streams."""
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data
