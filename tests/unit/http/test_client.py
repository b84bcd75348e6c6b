"""The client against a scripted server: right answers, broken ones, and those that come early."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.errors import (
    Conflict,
    Error,
    Internal,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from casemate.http.client import Client

Script = Callable[[socket.socket], None]


class Scripted:
    """A server on a unix socket that does what a test says with each connection."""

    def __init__(self, path: str) -> None:
        self.address = f"unix://{path}"
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(path)
        self._listening.listen()
        self._threads: list[threading.Thread] = []
        self.connections = 0

    def serve(self, *scripts: Script) -> Client:
        """Serve one connection by each of ``scripts``; returns a client."""

        def work() -> None:
            for script in scripts:
                connection, _ = self._listening.accept()
                self.connections += 1
                with connection, contextlib.suppress(OSError):
                    script(connection)

        thread = threading.Thread(target=work)
        thread.start()
        self._threads.append(thread)
        return Client(self.address)

    def close(self) -> None:
        """Wait for the scripts, and stop listening."""
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._listening.close()


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Scripted]:
    """A server without a script yet."""
    made = Scripted(str(tmp_path / "s"))
    yield made
    made.close()


def head_of(connection: socket.socket) -> bytes:
    """Return the head of a request."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(1)
        assert piece
        data += piece
    return data


def saying(*answers: bytes) -> Script:
    """Return a script that gives ``answers``, each to one request without a body, and closes."""

    def script(connection: socket.socket) -> None:
        for answer in answers:
            head_of(connection)
            connection.sendall(answer)

    return script


def plain(body: bytes, status: str = "200 OK") -> bytes:
    """Return an answer with a length."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_answers_of_all_framings_are_read(scripted: Scripted) -> None:
    client = scripted.serve(
        saying(
            plain(b'{"a": 1}'),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4;x=y\r\n[1,2\r\n1\r\n]\r\n000\r\nX-Trailer: a\r\nY: b\r\n\r\n",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
            + plain(b"3"),
            b"HTTP/1.0 200 OK\r\n\r\n4",
        )
    )
    assert client.get("/a") == {"a": 1}
    assert client.get("/b") == [1, 2]
    assert client.get("/c") is None
    assert client.get("/d") == 3
    assert client.get("/e") == 4
    client.close()
    assert scripted.connections == 1  # kept as long as it could be


def test_a_connection_that_was_closed_meanwhile_is_not_used(scripted: Scripted) -> None:
    client = scripted.serve(saying(plain(b"1")), saying(plain(b"2")))
    assert client.get("/") == 1
    assert client._kept
    client._kept.recv(1, socket.MSG_PEEK)  # wait for its end
    assert client.post("/") == 2
    client.close()


def test_a_connection_with_something_unread_is_not_kept(scripted: Scripted) -> None:
    client = scripted.serve(saying(plain(b"1") + b"HTTP/1.1 200 OK\r\n"), saying(plain(b"2")))
    assert client.get("/") == 1
    assert client.get("/") == 2
    client.close()


def test_head_has_no_body(scripted: Scripted) -> None:
    client = scripted.serve(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", plain(b"1")))
    with client.request("HEAD", "/") as reply:
        assert reply.read() == b"" and reply.headers["content-length"] == "500"
    assert client.get("/") == 1
    client.close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "message", "hint"),
    [
        ("404 Not Found", b'{"message":"no such thing"}', NotFound, "no such thing", None),
        ("409 Conflict", b'{"message":"taken","hint":"wait"}', Conflict, "taken", "wait"),
        ("501 No", b"plain text\n", Unsupported, "plain text", None),
        ("418 Teapot", b"", Internal, "HTTP status 418", None),
        ("500 Oops", b'["message"]', Internal, '["message"]', None),
        ("500 Oops", b"\xff\xfe", Internal, "\ufffd\ufffd", None),
    ],
)
def test_refusals_are_errors(
    scripted: Scripted, status: str, body: bytes, kind: type[Error], message: str, hint: str | None
) -> None:
    client = scripted.serve(saying(plain(body, status)))
    with pytest.raises(kind) as caught:
        client.get("/")
    assert (caught.value.message, caught.value.hint) == (message, hint)
    client.close()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
        CHUNKED,
        CHUNKED + b"5\r\nab",
        CHUNKED + b"-5\r\nab",
        CHUNKED + b"0x2\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n",
        CHUNKED + b"+2\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nabcd\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nab\r\n",
        CHUNKED + b"0\r\n",
        CHUNKED + b"f" * 100 + b"\r\n",
    ],
)
def test_a_broken_answer_is_unavailable(scripted: Scripted, answer: bytes) -> None:
    client = scripted.serve(saying(answer))
    with pytest.raises(Unavailable):
        client.get("/")
    client.close()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_answer_is_read_or_refused(data: bytes, behind_a_head: bool) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(CHUNKED + data if behind_a_head else data)
        theirs.shutdown(socket.SHUT_WR)
        client = Client("unix:///nowhere")
        client._kept = ours
        client._reusable = lambda: ours  # type: ignore[method-assign]
        with contextlib.suppress(Error, ValueError), client.request("GET", "/") as reply:
            reply.read()
        client.close()
    ours.close()


def test_a_body_in_pieces_is_sent_in_chunks(scripted: Scripted) -> None:
    got = []

    def script(connection: socket.socket) -> None:
        got.append(head_of(connection))
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data += connection.recv(1 << 16)
        got.append(data)
        connection.sendall(plain(b"1"))

    client = scripted.serve(script)
    with client.request("POST", "/", iter([b"abc", b"", b"d" * 20])) as reply:
        assert reply.read() == b"1"
    assert b"Transfer-Encoding: chunked" in got[0]
    assert got[1] == b"3\r\nabc\r\n14\r\n" + b"d" * 20 + b"\r\n0\r\n\r\n"
    client.close()


def endless() -> Iterator[bytes]:
    """Yield more than any socket holds."""
    for _ in range(2000):
        yield bytes(1 << 16)


def test_an_early_refusal_is_read_when_the_engine_stops_reading(scripted: Scripted) -> None:
    def script(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(plain(b'{"message":"too large"}', "413 No"))

    client = scripted.serve(script)
    with pytest.raises(Internal, match="too large"):
        client.request("POST", "/", endless())
    client.close()


def test_an_answer_that_streams_while_the_body_is_sent_blocks_nobody(scripted: Scripted) -> None:
    size = 5 << 20

    def script(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        connection.sendall(bytes(size))  # before it reads anything
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            data = data[-10:] + connection.recv(1 << 16)

    client = scripted.serve(script)
    with client.request("POST", "/", endless()) as reply:
        assert len(reply.read()) == size
    client.close()


def test_an_error_of_the_body_is_not_the_engines(scripted: Scripted) -> None:
    broken_off = []

    def script(connection: socket.socket) -> None:
        head_of(connection)
        data = b""
        while piece := connection.recv(1 << 16):
            data += piece
        broken_off.append(data)

    def body() -> Iterator[bytes]:
        yield b"abc"
        raise PermissionError("cannot read a file")

    client = scripted.serve(script)
    with pytest.raises(PermissionError):
        client.request("POST", "/", body())
    scripted.close()
    assert broken_off == [b"3\r\nabc\r\n"]  # and no end


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: y", "/ä", "/a\0"])
def test_a_path_cannot_hold_another_request(path: str) -> None:
    with pytest.raises(InvalidArgument):
        Client("unix:///nowhere").get(path)


def test_a_header_cannot_hold_another() -> None:
    with pytest.raises(InvalidArgument):
        Client("unix:///nowhere").request("GET", "/", headers={"X": "a\r\nY: b"})


def test_hijacking_keeps_what_came_behind_the_head(scripted: Scripted) -> None:
    def script(connection: socket.socket) -> None:
        head_of(connection)
        connection.recv(2)
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nearly")
        connection.sendall(connection.recv(100))

    sock, early, reply = scripted.serve(script).hijack("/", {})
    assert reply.status == 101
    sock.sendall(b" echo")
    while len(early) < 10:
        early += sock.recv(100)
    sock.close()
    assert early == b"early echo"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("unix:///no/such/socket", Unavailable),
        ("tcp://127.0.0.1:1", Unavailable),
        ("tcp://127.0.0.1:x", Unavailable),
        ("ftp://x", InvalidArgument),
        ("", InvalidArgument),
    ],
)
def test_an_address_that_leads_nowhere_is_told(address: str, kind: type[Error]) -> None:
    with pytest.raises(kind, match=r"address|cannot connect"):
        Client(address).get("/")
