"""One request: bounded in time whatever the peer does, on a connection that is alive."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from casemate.errors import Error, Unavailable
from casemate.registry.config import RetryPolicy, Timeouts
from casemate.registry.connections import Connections
from casemate.registry.exchange import Call, exchange
from casemate.registry.retry import Transient
from casemate.registry.urls import Origin, Url

from .conftest import QUICK

Script = Callable[[socket.socket], None]


class Scripted:
    """A server that runs one function for each connection."""

    def __init__(self, *scripts: Script) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, args=(scripts,))
        self.origin = Origin("http", "127.0.0.1", self._listener.getsockname()[1])
        self.done = threading.Event()
        self.one_closed = threading.Event()
        self._thread.start()

    def _run(self, scripts: tuple[Script, ...]) -> None:
        for script in scripts:
            connection = self._listener.accept()[0]
            with connection:
                try:
                    script(connection)
                except OSError:
                    pass
            self.one_closed.set()

    def close(self) -> None:
        self.done.set()
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    made: list[Scripted] = []

    def make(*scripts: Script) -> Scripted:
        made.append(Scripted(*scripts))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def connections() -> Iterator[Connections]:
    config = QUICK._replace(timeouts=Timeouts(connect_s=1, answer_s=1, stall_s=1))
    made = Connections(config, threading.Event())
    yield made
    made.close()


def request(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        if not piece:
            raise ConnectionResetError
        head += piece
    return head


def reply(text: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(text)

    return script


def drip(text: bytes) -> Script:
    """Send ``text`` a byte every 50 ms, so that no single read ever waits long."""

    def script(connection: socket.socket) -> None:
        request(connection)
        never = threading.Event()
        for byte in text:
            connection.sendall(bytes([byte]))
            never.wait(0.05)

    return script


def get(connections: Connections, server: Scripted) -> tuple[int, bytes]:
    with exchange(connections, Call("GET", Url(server.origin, "/"))) as answer:
        return answer.status, answer.read(1000, "x")


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_reply_is_read(scripted: Callable[..., Scripted], connections: Connections) -> None:
    assert get(connections, scripted(reply(OK))) == (200, b"ok")


def test_a_head_that_drips_ends_at_the_deadline(
    scripted: Callable[..., Scripted], connections: Connections
) -> None:
    begun = time.monotonic()
    with pytest.raises(Transient, match="no answer in time"):
        get(connections, scripted(drip(OK + bytes(1000))))
    assert time.monotonic() - begun < 20


def test_a_body_that_drips_ends_at_the_deadline(
    scripted: Callable[..., Scripted], connections: Connections
) -> None:
    def script(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
        never = threading.Event()
        for _ in range(900):
            connection.sendall(b"x")
            never.wait(0.05)

    begun = time.monotonic()
    with pytest.raises(Transient, match="no answer in time"):
        get(connections, scripted(script))
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" + b"x" * 9000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 99,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2000,
    ],
)
def test_nonsense_is_an_error_of_ours(
    scripted: Callable[..., Scripted], connections: Connections, text: bytes
) -> None:
    with pytest.raises((Transient, Error)):
        get(connections, scripted(reply(text)))


def test_a_connection_that_the_server_closed_is_not_used(
    scripted: Callable[..., Scripted], connections: Connections
) -> None:
    server = scripted(reply(OK), reply(OK))
    assert get(connections, server) == (200, b"ok")
    assert server.one_closed.wait(5)
    assert get(connections, server) == (200, b"ok")


def test_a_reply_before_the_whole_request_is_read(
    scripted: Callable[..., Scripted], connections: Connections, tmp_path: object
) -> None:
    from casemate.registry.bodies import StreamBody

    def script(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(
            b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"
        )
        connection.shutdown(socket.SHUT_WR)
        # Read on, as a server that lingers does, but no further than the request's beginning.
        connection.recv(1 << 20)

    server = scripted(script)
    body = StreamBody(bytes(1000) for _ in range(10))
    with exchange(connections, Call("PUT", Url(server.origin, "/"), (), body)) as answer:
        assert (answer.status, answer.read(10, "x")) == (413, b"big")


def test_nobody_listening_is_unavailable_at_once(connections: Connections) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    origin = Origin("http", "127.0.0.1", listener.getsockname()[1])
    listener.close()
    with pytest.raises(Unavailable, match="refused"):
        exchange(connections, Call("GET", Url(origin, "/")))


def test_a_name_that_does_not_exist_is_unavailable(connections: Connections) -> None:
    with pytest.raises(Unavailable, match=r"registry\.invalid"):
        exchange(connections, Call("GET", Url(Origin("https", "registry.invalid", 443), "/")))


def test_the_waits_grow_and_end() -> None:
    from casemate.registry.retry import Budget

    class Clock(threading.Event):
        waits: list[float]

        def wait(self, timeout: float | None = None) -> bool:
            self.waits.append(timeout or 0)
            return False

    clock = Clock()
    clock.waits = []
    budget = Budget(RetryPolicy(attempts=5, base_s=1, cap_s=3, total_s=100), clock)
    failure = Transient(Unavailable("busy"))
    for _ in range(4):
        budget.spend(failure)
    with pytest.raises(Unavailable, match="busy"):
        budget.spend(failure)
    for waited, ceiling in zip(clock.waits, (1, 2, 3, 3), strict=True):
        assert ceiling / 2 <= waited <= ceiling
    budget.renew()
    budget.spend(Transient(Unavailable("busy"), retry_after_s=42))
    assert clock.waits[-1] == 42
    with pytest.raises(Unavailable):
        budget.spend(Transient(Unavailable("busy"), retry_after_s=101))
