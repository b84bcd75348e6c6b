"""A small blocking client over unix and TCP sockets, for the CLI and the Python library.

It can stream bodies both ways and leave HTTP (hijack). Each import is paid at every run of a
command: what ``socket`` and ``json`` bring along (``enum``, ``re``) would double the time of a
``casemate ps``, so they are imported where they are needed. Source: RFC 9112.
"""

from __future__ import annotations

import _socket

from casemate.errors import (
    Conflict,
    Error,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unsupported,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_MAX_HEAD = 64 << 10
_READ = 1 << 16

_CLASSES: dict[int, type[Error]] = {
    400: InvalidArgument,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    412: FailedPrecondition,
    500: Internal,
    501: Unsupported,
    503: Unavailable,
}


class Client:
    """Requests to one engine. ``address`` is ``unix:///path`` or ``tcp://host:port``.

    Every request has a connection of its own unless the one before it was read to its end.
    """

    def __init__(self, address: str, prefix: str = "") -> None:
        self.address = address
        self.prefix = prefix
        self._kept: _socket.socket | None = None

    def get(self, path: str) -> Any:
        """Return the JSON answer of a GET. Raises the Error that the engine reports."""
        return self.call("GET", path)

    def post(self, path: str, document: Any = None) -> Any:
        """Return the JSON answer of a POST of ``document``, None when there is no answer."""
        return self.call("POST", path, document)

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """Send ``document`` as JSON and return the JSON answer."""
        import json

        body = None if document is None else json.dumps(document).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        with self.request(method, path, body, headers) as response:
            data = response.read()
            return json.loads(data) if data else None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request and return its answer, unread. Raises the Error of a status above 399.

        ``body`` in pieces is sent chunked, while it is produced.
        """
        extra = dict(headers or {})
        sock = self._reusable() or self._connect()
        answered = False
        try:
            _send(sock, method, self.prefix + path, extra, body)
            reply = Reply(sock, self._keep, method)
            answered = True
        except (OSError, ValueError) as error:
            raise Unavailable(f"cannot talk to the engine at {self.address}: {error}") from error
        finally:
            if not answered:
                sock.close()  # a body that broke off is then seen as such
        if reply.status >= 400:
            with reply:
                raise self.refusal(reply.status, reply.read())
        return reply

    def refusal(self, status: int, body: bytes) -> Error:
        """Return the Error that an answer of ``status`` above 399 stands for."""
        import json

        hint = None
        try:
            document = json.loads(body)
            message = str(document["message"])
            hint = document.get("hint")
        except (ValueError, KeyError, TypeError, AttributeError):
            message = body.decode("utf-8", "replace").strip() or f"HTTP status {status}"
        return _CLASSES.get(status, Internal)(message, hint=hint)

    def hijack(self, path: str, document: Any = None) -> tuple[_socket.socket, bytes, Reply]:
        """POST ``document`` and leave HTTP: returns the socket, and what was received already."""
        import json

        body = b"" if document is None else json.dumps(document).encode()
        headers = {"Content-Type": "application/json", "Connection": "Upgrade", "Upgrade": "tcp"}
        reply = self.request("POST", path, body, headers)
        return (*reply.detach(), reply)

    def close(self) -> None:
        """Close the connection that was kept."""
        if self._kept:
            self._kept.close()
            self._kept = None

    def _reusable(self) -> _socket.socket | None:
        """Return the kept connection, unless the other side has closed it in between."""
        sock, self._kept = self._kept, None
        if sock is None:
            return None
        try:
            sock.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return sock  # nothing to read: it waits for us
        except OSError:
            pass
        sock.close()
        return None

    def _keep(self, sock: _socket.socket) -> None:
        self.close()
        self._kept = sock

    def _connect(self) -> _socket.socket:
        kind, _, rest = self.address.partition("://")
        try:
            if kind == "unix":
                return _connect_unix(rest)
            if kind in ("tcp", "http"):
                import socket

                host, _, port = rest.rstrip("/").rpartition(":")
                return socket.create_connection((host.strip("[]"), int(port)))
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"cannot connect to the engine at {self.address}: {error}",
                hint="is it running? casemate info starts it",
            ) from error
        raise InvalidArgument(f"unsupported engine address {self.address!r}")


def _connect_unix(path: str) -> _socket.socket:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


class Reply:
    """One answer: ``status``, lower-case ``headers``, and a body to read."""

    def __init__(self, sock: _socket.socket, keep: Any, method: str) -> None:
        self._sock = sock
        self._keep = keep
        self._buffer = bytearray()
        self.status, self.headers = self._head()
        while self.status == 100:
            self.status, self.headers = self._head()
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        length = self.headers.get("content-length")
        self._left = int(length) if length is not None else None
        if method == "HEAD" or self.status in (101, 204, 304):
            self._left, self._chunked = 0, False
        self._done = self._left == 0 and not self._chunked

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, *_: object) -> None:
        reusable = self._done and self.headers.get("connection", "").lower() != "close"
        if reusable and not self._buffer:
            self._keep(self._sock)
        else:
            self._sock.close()

    def read(self) -> bytes:
        """Return the rest of the body."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives. Raises Unavailable when it breaks off."""
        while not self._done:
            if self._chunked:
                size = int(self._line().partition(b";")[0], 16)
                if size == 0:
                    self._line()
                    self._done = True
                    return
                yield from self._exactly(size)
                self._line()
            elif self._left is not None:
                yield from self._exactly(self._left)
                self._done = True
            else:
                data = bytes(self._buffer) or self._sock.recv(_READ)
                self._buffer.clear()
                if not data:
                    return
                yield data

    def lines(self) -> Iterator[bytes]:
        """Yield the body line by line, as JSON streams need it."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line for line in lines if line.strip())
        if rest.strip():
            yield rest

    def detach(self) -> tuple[_socket.socket, bytes]:
        """Return the socket, and what was received behind the head."""
        return self._sock, bytes(self._buffer)

    def _head(self) -> tuple[int, dict[str, str]]:
        status_line = self._line().split(b" ", 2)
        if len(status_line) < 2 or not status_line[0].startswith(b"HTTP/1."):
            raise ValueError("the answer is not HTTP")
        headers: dict[str, str] = {}
        size = 0
        while line := self._line():
            size += len(line)
            if size > _MAX_HEAD:
                raise ValueError("the head of the answer is too large")
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        return int(status_line[1]), headers

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            self._receive()
            if len(self._buffer) > 2 * _MAX_HEAD and b"\n" not in self._buffer:
                raise ValueError("a line of the answer is too long")
        line = bytes(self._buffer[:end]).rstrip(b"\r")
        del self._buffer[: end + 1]
        return line

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._buffer:
                self._receive()
            data = bytes(self._buffer[:size])
            del self._buffer[:size]
            size -= len(data)
            yield data

    def _receive(self) -> None:
        data = self._sock.recv(_READ)
        if not data:
            raise Unavailable("the engine closed the connection")
        self._buffer += data


def _send(
    sock: _socket.socket,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | Iterable[bytes] | None,
) -> None:
    whole = b"" if body is None else body
    if isinstance(whole, bytes):
        if whole or method != "GET":
            headers["Content-Length"] = str(len(whole))
        sock.sendall(_request_head(method, path, headers) + whole)
        return
    headers["Transfer-Encoding"] = "chunked"
    sock.sendall(_request_head(method, path, headers))
    try:
        for piece in whole:
            if piece:
                sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        sock.sendall(b"0\r\n\r\n")
    except BrokenPipeError:
        pass  # the engine refused early: its answer says why


def _request_head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: casemate"]
    lines.extend(f"{name}: {value}" for name, value in headers.items())
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
