"""An engine on a private host, and a server in a container that says who it is."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from support.engine import RunningEngine, busybox_tar, eventually
from support.engines import place

#: A server that says who it is to everybody, on TCP port 80.
SERVER = ("sh", "-c", "mkdir /w; hostname > /w/index.html; exec httpd -f -p 80 -h /w")


@contextlib.contextmanager
def engine_here() -> Iterator[RunningEngine]:
    """An engine on the private host that the test is."""
    engine = RunningEngine(place())
    engine.start()
    try:
        engine.import_image(busybox_tar(), "busybox", 'CMD ["sh"]')
        yield engine
    finally:
        engine.remove_everything()


def published(engine: RunningEngine, id_: str, port: str = "80/tcp") -> dict[str, int]:
    """Return the ports of the host by address."""
    found = engine.inspect(id_)["NetworkSettings"]["Ports"][port]
    return {one["HostIp"]: int(one["HostPort"]) for one in found}


def says(address: str, port: int, *, timeout_s: float = 5) -> str:
    """Return the page of the server at ``address``, once it serves."""

    def ask() -> str:
        try:
            with socket.create_connection((address, port), timeout_s) as connection:
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                answer = b""
                while data := connection.recv(4096):
                    answer += data
        except ConnectionError:
            return ""  # the port is open before the server is
        return answer.rpartition(b"\r\n\r\n")[2].decode().strip()

    return eventually(ask, bool)
