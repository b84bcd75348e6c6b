"""Connections that have left HTTP: what a client of attach and exec sends and sees."""

from __future__ import annotations

import _socket
import contextlib
import socket
from urllib.parse import quote

from casemate.http.client import Client
from casemate.http.framing import Demultiplexer

LIMIT_S = 30.0


class Streams:
    """One connection. ``framed`` streams are taken apart; of a terminal there is only ``out``."""

    def __init__(self, sock: _socket.socket, early: bytes, *, framed: bool) -> None:
        # The client's own sockets have no time limit; here a test that waits for ever shall fail.
        self.socket = socket.socket(fileno=sock.detach())
        self.socket.settimeout(LIMIT_S)
        self._frames = Demultiplexer() if framed else None
        self.out = b""
        self.err = b""
        self._take(early)

    def send(self, data: bytes) -> None:
        """Send input."""
        self.socket.sendall(data)

    def end_input(self, last: bytes = b"") -> None:
        """Say that there is no more input behind ``last``; the other side may have left already."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(last)
            self.socket.shutdown(socket.SHUT_WR)

    def until(self, text: bytes) -> bytes:
        """Read until ``text`` is in the output; return and forget all up to it."""
        while text not in self.out:
            data = self.socket.recv(1 << 16)
            assert data, f"the stream ended; there was {self.out!r}, {self.err!r}"
            self._take(data)
        before, _, self.out = self.out.partition(text)
        return before + text

    def rest(self) -> tuple[bytes, bytes]:
        """Read to the end of the streams, close, and return what was not read before."""
        with self.socket:
            while data := self.socket.recv(1 << 16):
                self._take(data)
        return self.out, self.err

    def close(self) -> None:
        """Go away without a word."""
        self.socket.close()

    def _take(self, data: bytes) -> None:
        if self._frames is None:
            self.out += data
            return
        for stream, piece in self._frames.feed(data):
            if stream == 1:
                self.out += piece
            else:
                self.err += piece


def attach(client: Client, id_: str, *, tty: bool = False, keys: str = "", **flags: int) -> Streams:
    """Attach to a container; ``flags`` (stdin, stdout, stderr, logs) replace the default: all.

    ``keys`` are those that end the attachment.
    """
    chosen = {"stream": 1, **(flags or {"stdin": 1, "stdout": 1, "stderr": 1})}
    query = "&".join(f"{name}={value}" for name, value in chosen.items())
    query += f"&detachKeys={quote(keys)}" * bool(keys)
    return _hijacked(client, f"/containers/{id_}/attach?{query}", None, tty=tty)


def start_exec(client: Client, exec_id: str, *, tty: bool = False) -> Streams:
    """Start an exec and return its streams."""
    return _hijacked(client, f"/exec/{exec_id}/start", {"Tty": tty}, tty=tty)


def _hijacked(client: Client, path: str, document: object, *, tty: bool) -> Streams:
    sock, early, _ = client.hijack(path, document)
    return Streams(sock, early, framed=not tty)
