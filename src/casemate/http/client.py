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
#: How much of an answer is kept that comes while its request is still being sent.
_MAX_EARLY = 64 << 20
_MAX_INTERIM = 16

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
        whole = b"" if body is None else body
        if not isinstance(whole, bytes):
            extra["Transfer-Encoding"] = "chunked"
        elif whole or method != "GET":
            extra["Content-Length"] = str(len(whole))
        head = _request_head(method, self.prefix + path, extra)
        sock = self._reusable() or self._connect()
        answered = False
        try:
            early = bytearray()
            if isinstance(whole, bytes):
                _push(sock, head + whole, early)
            else:
                _push_chunks(sock, head, whole, early)
            reply = Reply(sock, self._keep, method, early)
            answered = True
        except _Broken as error:
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


class _Broken(Exception):
    """The connection, or what came over it, is not what it should be."""


class Reply:
    """One answer: ``status``, lower-case ``headers``, and a body to read.

    Reading raises Unavailable when the answer breaks off or is not HTTP.
    """

    def __init__(self, sock: _socket.socket, keep: Any, method: str, early: bytearray) -> None:
        self._sock = sock
        self._keep = keep
        self._buffer = early
        self.status, self.headers = self._head()
        interim = 0
        while 100 <= self.status < 200 and self.status != 101:
            interim += 1
            if interim > _MAX_INTERIM:
                raise _Broken("too many interim answers")
            self.status, self.headers = self._head()
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        self._left = self._length()
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
        """Yield the body as it arrives."""
        try:
            if self._chunked:
                yield from self._by_chunks()
            elif self._left is not None:
                yield from self._exactly(self._left)
                self._left, self._done = 0, True
            else:
                yield from self._to_the_end()
        except _Broken as error:
            raise Unavailable(f"the answer of the engine broke off: {error}") from error

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

    def _length(self) -> int | None:
        text = self.headers.get("content-length")
        if text is None or self._chunked:
            return None
        if not (text.isascii() and text.isdigit()):
            raise _Broken("the length of the answer is not a number")
        return int(text)

    def _head(self) -> tuple[int, dict[str, str]]:
        status_line = self._line().split(b" ", 2)
        if len(status_line) < 2 or not status_line[0].startswith(b"HTTP/1."):
            raise _Broken("the answer is not HTTP")
        if not (len(status_line[1]) == 3 and status_line[1].isdigit()):
            raise _Broken("the answer has no status")
        headers: dict[str, str] = {}
        size = 0
        while line := self._line():
            size += len(line)
            if size > _MAX_HEAD:
                raise _Broken("the head of the answer is too large")
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        return int(status_line[1]), headers

    def _by_chunks(self) -> Iterator[bytes]:
        while not self._done:
            text = self._line().partition(b";")[0].strip()
            if not text or len(text) > 15 or text.strip(b"0123456789abcdefABCDEF"):
                raise _Broken("a chunk without a size")
            size = int(text, 16)
            yield from self._exactly(size)
            if size:
                if self._line():
                    raise _Broken("a chunk is longer than it says")
            else:
                while self._line():
                    pass  # trailers
                self._done = True

    def _to_the_end(self) -> Iterator[bytes]:
        if self._buffer:
            yield bytes(self._buffer)
            self._buffer.clear()
        while data := _received(self._sock):
            yield data

    def _line(self) -> bytes:
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > _MAX_HEAD:
                raise _Broken("a line of the answer is too long")
            self._receive()
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
        data = _received(self._sock)
        if not data:
            raise _Broken("the engine closed the connection")
        self._buffer += data


def _received(sock: _socket.socket) -> bytes:
    try:
        return sock.recv(_READ)
    except OSError as error:
        raise _Broken(error.strerror or str(error)) from error


def _push_chunks(
    sock: _socket.socket, head: bytes, pieces: Iterable[bytes], early: bytearray
) -> None:
    """Send the head and ``pieces`` as chunks, unless the engine has refused by then."""
    _push(sock, head, early)
    for piece in pieces:
        if piece and not _push(sock, b"%x\r\n%b\r\n" % (len(piece), piece), early):
            return  # its answer says why
    _push(sock, b"0\r\n\r\n", early)


def _push(sock: _socket.socket, data: bytes, early: bytearray) -> bool:
    """Send ``data``; False when the engine takes no more.

    What it says meanwhile is put into ``early``: it may not listen until somebody does.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view, _socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            if not _either(sock, early):
                return False
        except (BrokenPipeError, ConnectionResetError):
            return False
        except OSError as error:
            raise _Broken(error.strerror or str(error)) from error
    return True


def _either(sock: _socket.socket, early: bytearray) -> bool:
    """Wait until ``sock`` takes more; False when the other side has closed it."""
    import select

    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN | select.POLLOUT)
    for _, events in poll.poll():
        if events & select.POLLIN:
            data = _received(sock)
            early += data
            if len(early) > _MAX_EARLY:
                raise _Broken("the answer came before the request was sent, and is too large")
            return bool(data)
        return not events & (select.POLLHUP | select.POLLERR)
    return True


def _request_head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    if not (path.isascii() and path.isprintable() and " " not in path):
        raise InvalidArgument(f"cannot ask for {path[:200]!r}: not a path of a URL")
    lines = [f"{method} {path} HTTP/1.1", "Host: casemate"]
    for name, value in headers.items():
        if "\r" in value or "\n" in value:
            raise InvalidArgument(f"cannot send the header {name}: it has a line break")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
