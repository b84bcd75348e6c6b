"""The engine as the commands see it: the small HTTP client, started on first use."""

from __future__ import annotations

from casemate.cli import jsontext
from casemate.client.target import path_of
from casemate.client.transport import API_VERSION, Transport
from casemate.errors import Error, Internal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from casemate.client.place import Location
    from casemate.http.client import Reply

__all__ = ["API_VERSION", "Engine", "filters", "path_of"]


class Engine(Transport):
    """Requests to the engine at ``location``. Paths begin behind ``prefix``, the API's version."""

    def __init__(self, location: Location, prefix: str | None = None) -> None:
        super().__init__(location, prefix)
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


def filters(pairs: list[tuple[str, str]]) -> str:
    """Return filters as the API takes them in a query, "" for none."""
    if not pairs:
        return ""
    found: dict[str, dict[str, bool]] = {}
    for name, value in pairs:
        found.setdefault(name, {})[value] = True
    return jsontext.dumps(found)
