"""A process that runs with its streams on a connection of ours: a container's first, or an exec.

Everything that asks the engine something is short and blocking; what may take long is only the
streams, and for these the caller has the socket. So one implementation serves both faces: ``talk``
waits for the socket in a thread, ``casemate.aio`` in an event loop.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any, NamedTuple, Protocol

from casemate.client.connections import Connections
from casemate.client.output import Output
from casemate.client.target import path_of
from casemate.errors import Conflict, Error, NotFound, Unavailable
from casemate.http.client import Reply

#: The container shall not outlive the connection to its streams.
_OWNER = {"casemate-owner": "1"}
_GONE = "cannot tell how container {} ended: the engine left before it said so, and it was removed"


class Attached(Protocol):
    """A process with its streams on ``sock``."""

    id: str
    sock: socket.socket
    output: Output

    def finish(self) -> int:
        """Return the exit code. The streams have ended, and with them the process: this is short.

        Raises the Error of the engine.
        """

    def kill(self) -> None:
        """Have the container end now; its streams end with it."""

    def close(self) -> None:
        """Let go of the connections; a container that is ours ends with that."""


class Request(NamedTuple):
    """A container to be: the body of its creation and its name, and what is kept of its output."""

    body: dict[str, Any]
    name: str = ""
    limit_bytes: int = 64 << 20


class First:
    """A container that is ours: it ends when this process does, and is removed at its end."""

    def __init__(self, connections: Connections, request: Request) -> None:
        """Create, attach and start it. Raises the Error of the engine; then nothing is left."""
        self._connections = connections
        self._wait: Reply | None = None
        self.output = Output(request.limit_bytes)
        body = request.body | {"HostConfig": request.body["HostConfig"] | {"AutoRemove": True}}
        self.id = ""
        try:
            path = path_of("containers", "create", name=request.name, **_OWNER)
            self.id = str(connections.call("POST", path, body)["Id"])
            self.sock, early = self._attach(stdin=bool(body.get("OpenStdin")))
            if early:
                self.output.feed(early)
            self._wait = self._ask("removed")
            connections.call("POST", path_of("containers", self.id, "start"))
        except BaseException:
            self.discard()
            raise

    def _attach(self, *, stdin: bool) -> tuple[socket.socket, bytes]:
        flags = {"stream": "1", "stdout": "1", "stderr": "1", "stdin": "1" if stdin else ""}
        query = flags | _OWNER
        return self._connections.hijack(path_of("containers", self.id, "attach", **query))

    def _ask(self, condition: str) -> Reply:
        path = path_of("containers", self.id, "wait", condition=condition)
        return self._connections.send("POST", path)

    def finish(self) -> int:
        """Return the exit code; the container is removed then."""
        assert self._wait
        try:
            return status_of(self._wait)
        except Unavailable:
            pass  # the engine went away; the container did not
        try:
            self._wait = self._ask("removed")
            return status_of(self._wait)
        except NotFound:
            raise Unavailable(_GONE.format(self.id[:12])) from None

    def kill(self) -> None:
        """Kill it; without an engine, by letting it lose its owner."""
        try:
            self._connections.call("POST", path_of("containers", self.id, "kill"))
        except (Conflict, NotFound):
            pass  # it has just ended
        except Unavailable:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connections."""
        if hasattr(self, "sock"):
            self.sock.close()
        if self._wait:
            self._wait.detach()[0].close()

    def __del__(self) -> None:
        # An interrupt between two lines can leave nobody who knows of it.
        self.close()

    def discard(self) -> None:
        """Let go of it, and have it removed."""
        self.close()
        if not self.id:
            return
        try:
            path = path_of("containers", self.id, force="1")
            self._connections.call("DELETE", path)
        except Error:
            pass  # it has removed itself, or nobody can: the caller shall see the first reason


class Exec:
    """One more process in a container."""

    def __init__(
        self, connections: Connections, container: str, config: dict[str, Any], limit_bytes: int
    ) -> None:
        """Start it. Raises the Error of the engine."""
        self._connections = connections
        self._container = container
        self.output = Output(limit_bytes)
        path = path_of("containers", container, "exec")
        whole = {"AttachStdout": True, "AttachStderr": True, **config}
        self.id = str(connections.call("POST", path, whole)["Id"])
        self.sock, early = connections.hijack(path_of("exec", self.id, "start"), {"Detach": False})
        if early:
            self.output.feed(early)

    def finish(self) -> int:
        """Return the exit code."""
        found = self._connections.call("GET", path_of("exec", self.id, "json"))
        return int(found["ExitCode"])

    def kill(self) -> None:
        """Kill the container: a process of it alone cannot be, with what it has started."""
        try:
            self._connections.call("POST", path_of("containers", self._container, "kill"))
        except (Conflict, NotFound):
            pass

    def close(self) -> None:
        """Let go of the connection."""
        self.sock.close()


def status_of(reply: Reply) -> int:
    """Return the exit code in the answer to a wait. Raises Unavailable when it broke off."""
    with reply:
        data = reply.read()
    try:
        return int(json.loads(data)["StatusCode"])
    except (ValueError, KeyError, TypeError):
        raise Unavailable("the engine's answer broke off") from None
