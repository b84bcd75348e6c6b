"""The engine as the commands see it: the small HTTP client, started on first use."""

from __future__ import annotations

import errno
import os

from casemate.cli import jsontext
from casemate.errors import Error, Internal, InvalidArgument, Unavailable
from casemate.http.client import Client, Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from casemate.cli.place import Location

API_VERSION = "1.47"
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_NOBODY_LISTENS = (errno.ENOENT, errno.ECONNREFUSED)


class Engine(Client):
    """Requests to the engine at ``location``. Paths begin behind ``prefix``, the API's version."""

    def __init__(self, location: Location, prefix: str | None = None) -> None:
        version = os.environ.get("CASEMATE_API_VERSION", API_VERSION)
        super().__init__(location.address, f"/v{version}" if prefix is None else prefix)
        self._place = location.place
        self._finished = False

    def call(self, method: str, path: str, document: Any = None) -> Any:
        """Send ``document`` as JSON and return the JSON answer, None when there is none."""
        with self.send(method, path, document) as reply:
            data = reply.read()
        if not data:
            return None
        try:
            return jsontext.loads(data)
        except ValueError as error:
            raise Internal(f"the engine's answer to {method} {path} is not JSON: {error}") from None

    def send(self, method: str, path: str, document: Any = None, upgrade: bool = False) -> Reply:
        """Send ``document`` as JSON and return the answer, unread."""
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"} if upgrade else {}
        body = None
        if document is not None:
            headers["Content-Type"] = "application/json"
            body = jsontext.dumps(document).encode()
        return self.request(method, path, body, headers)

    def hijack(self, path: str, document: Any = None) -> tuple[_socket.socket, bytes, Reply]:
        """POST ``document`` and leave HTTP: returns the socket, and what was received already."""
        reply = self.send("POST", path, document, upgrade=True)
        return (*reply.detach(), reply)

    def documents(
        self,
        method: str,
        path: str,
        body: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Any]:
        """Yield the JSON documents of a stream as they arrive."""
        with self.request(method, path, body, headers) as reply:
            for line in reply.lines():
                try:
                    yield jsontext.loads(line)
                except ValueError:
                    raise Internal(f"the engine's answer to {method} {path} is not JSON") from None

    def finish(self) -> None:
        """Close the connection that was kept, and keep none from now on."""
        self._finished = True
        self.close()

    def refusal(self, status: int, body: bytes) -> Error:
        """Return the Error that the engine reports, marked as the engine's."""
        error = super().refusal(status, body)
        return type(error)(f"Error response from daemon: {error.message}", hint=error.hint)

    def _keep(self, sock: _socket.socket) -> None:
        if self._finished:
            sock.close()
        else:
            super()._keep(sock)

    def _connect(self) -> _socket.socket:
        try:
            return super()._connect()
        except Unavailable as error:
            cause = error.__cause__
            absent = isinstance(cause, OSError) and cause.errno in _NOBODY_LISTENS
            if self._place is None and absent:
                raise Unavailable(error.message, hint="is the engine running?") from cause
            if self._place is None or not absent:
                raise
        from casemate.cli.autostart import start_engine

        start_engine(self._place)
        return super()._connect()


def path_of(*parts: str, **query: str | list[str]) -> str:
    """Return ``/part/part…?name=value…``; an empty value in the query is left out.

    A part may be an object's name: slashes around it are not meant, those inside stay, as in the
    names of images. Raises InvalidArgument for an empty name.
    """
    path = ""
    for part in parts:
        name = part.strip("/")
        if not name:
            raise InvalidArgument("invalid name or ID: value is empty")
        path += "/" + quoted(name, "/:@+")
    pairs = [
        f"{name}={quoted(value)}"
        for name, values in query.items()
        for value in ([values] if isinstance(values, str) else values)
        if value != ""
    ]
    return path + ("?" + "&".join(pairs) if pairs else "")


def quoted(text: str, also: str = "") -> str:
    """Return ``text`` percent-encoded, but for the characters in ``also``."""
    allowed = _UNRESERVED | set(also.encode())
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in allowed else f"%{byte:02X}" for byte in data)


def filters(pairs: list[tuple[str, str]]) -> str:
    """Return filters as the API takes them in a query, "" for none."""
    if not pairs:
        return ""
    found: dict[str, dict[str, bool]] = {}
    for name, value in pairs:
        found.setdefault(name, {})[value] = True
    return jsontext.dumps(found)
