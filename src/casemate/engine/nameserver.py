"""The engine's side of the name server: found or started, and told who is where.

It is started when the first container is on a network of a user's, and outlives the engine. One
that has ended is started again, and gets new sockets for every container that runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import signal
import socket
import sys
from collections.abc import Callable

from casemate.engine.threads import in_thread
from casemate.errors import InvalidArgument, Unavailable, from_os
from casemate.names import protocol
from casemate.names.protocol import Container, Forget, Hello

_LISTENER = 3
_BACKLOG = 4
_WAIT_S = 5.0
_LOGGED = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class NameServer:
    """A connection to the name server that listens at ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._connection: socket.socket | None = None
        #: The containers that it answers, as far as this engine knows.
        self.serving: set[str] = set()
        #: Called when it has ended; set by the composition root.
        self.on_lost: Callable[[], object] = lambda: None

    async def tell(self, told: Container | Forget, descriptors: tuple[int, ...] = ()) -> None:
        """Tell of a container; with the sockets and the process in ``descriptors`` it is served.

        Raises Unavailable when no name server can be had.
        """
        async with self._lock:
            await self._ensure()
            try:
                await in_thread(lambda: self._send(told, descriptors))
            except OSError:
                self._drop()
                await self._ensure()
                await in_thread(lambda: self._send(told, descriptors))
            if descriptors:
                self.serving.add(told.id)

    async def forget(self, id_: str) -> None:
        """Tell that a container is on no network any more, if it was served."""
        if id_ not in self.serving:
            return
        async with self._lock:
            self.serving.discard(id_)
            try:
                await in_thread(lambda: self._send(Forget(id_), ()))
            except OSError:
                self._drop()

    async def find(self) -> None:
        """Connect, so that ``serving`` tells the truth. Raises Unavailable."""
        async with self._lock:
            await self._ensure()

    def close(self) -> None:
        """Let go of it; it goes on as long as it is needed."""
        self._drop()

    def _drop(self) -> None:
        if self._connection:
            asyncio.get_running_loop().remove_reader(self._connection)
            self._connection.close()
        self._connection = None
        self.serving.clear()

    def _send(self, told: Container | Forget, descriptors: tuple[int, ...]) -> None:
        assert self._connection
        data = protocol.encode(told)
        if len(data) > protocol.MAX_BYTES:
            raise InvalidArgument(
                f"container {told.id} has too many names: more than {protocol.MAX_BYTES} bytes"
            )
        socket.send_fds(self._connection, [data], descriptors)

    async def _ensure(self) -> None:
        if self._connection is None or _has_hung_up(self._connection):
            self._drop()
            connection, hello = await in_thread(lambda: _connected(self._path))
            self._connection, self.serving = connection, set(hello.serving)
            # It says nothing more: what can be read is its end.
            asyncio.get_running_loop().add_reader(connection, self._lost)

    def _lost(self) -> None:
        self._drop()
        self.on_lost()


def _has_hung_up(connection: socket.socket) -> bool:
    gone = select.poll()
    gone.register(connection, 0)  # a hang-up is always told
    return bool(gone.poll(0))


def _connected(path: str) -> tuple[socket.socket, Hello]:
    try:
        found = _greeted(path)
        if found and found[1].version == protocol.VERSION:
            return found
        if found:
            found[0].close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(found[1].pid, signal.SIGTERM)
        _start(path)
        found = _greeted(path)
    except OSError as error:
        raise from_os(error, "cannot start the name server") from error
    if found is None:
        raise Unavailable("cannot start the name server: it does not answer")
    return found


def _greeted(path: str) -> tuple[socket.socket, Hello] | None:
    """Connect and hear who is there; None when nobody is, or is just leaving."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(_WAIT_S)
    try:
        connection.connect(path)
        said = connection.recv(protocol.MAX_BYTES)
    except (ConnectionError, FileNotFoundError):
        said = b""
    if not said:
        connection.close()
        return None
    return connection, protocol.decode_hello(said)


def _start(path: str) -> None:
    """Start a name server that is nobody's child."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(_BACKLOG)
        # A high number, so that what is put at 3 does not cover it.
        high = fcntl.fcntl(listener, fcntl.F_DUPFD_CLOEXEC, 10)
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", "casemate.names"],
                {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.defpath},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
                    (os.POSIX_SPAWN_OPEN, 2, f"{path}.log", _LOGGED, 0o600),
                    (os.POSIX_SPAWN_DUP2, high, _LISTENER),
                ],
                setsid=True,
            )
        finally:
            os.close(high)
    os.waitpid(pid, 0)  # it has a child, and is gone
