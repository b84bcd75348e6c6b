"""Clients of the API that vanish at any byte of what they say, or while they are answered."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from support.engine import RunningEngine

pytestmark = pytest.mark.root

HOST = "Host: docker\r\n"


def request(method: str, path: str, body: bytes = b"", *headers: str, behind: bytes = b"") -> bytes:
    """Return a request with a body of known length."""
    lines = [f"{method} /v1.47{path} HTTP/1.1", "Host: docker", *headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body + behind


def requests(container: str) -> Iterator[bytes]:
    """Yield requests of every kind: short, waiting, streaming, hijacking, with large bodies."""
    as_json = "Content-Type: application/json"
    upgrade = ("Connection: Upgrade", "Upgrade: tcp")
    create = json.dumps({"Image": "busybox", "Cmd": ["true"], "HostConfig": {"AutoRemove": True}})
    chunks = b"4000\r\n" + bytes(0x4000) + b"\r\n"
    yield request("GET", "/version")
    yield request("GET", "/containers/json?all=1") * 3
    yield request("POST", "/containers/create", create.encode(), as_json)
    yield request("POST", f"/containers/{container}/wait")
    yield request("GET", f"/containers/{container}/logs?follow=1&stdout=1")
    yield request("GET", "/events")
    attach = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1&logs=1"
    yield request("POST", attach, b"", *upgrade, behind=b"early input\n")
    yield request("POST", attach, b"", behind=b"early input\n")
    yield (
        request(
            "POST", "/images/load", b"", "Transfer-Encoding: chunked", "Expect: 100-continue"
        ).replace(b"Content-Length: 0\r\n", b"")
        + chunks * 3
    )
    yield request("POST", "/images/create?fromSrc=-&repo=gone", bytes(100_000))


def cut(data: bytes) -> Iterator[bytes]:
    """Yield beginnings of ``data``: some in the head, some behind it, all of it."""
    head = data.index(b"\r\n\r\n") + 4
    for end in (1, head // 2, head - 1, head, head + 1, (head + len(data)) // 2, len(data) - 1):
        yield data[:end]
    yield data


def settled(engine: RunningEngine, wanted: int) -> int:
    """Return how many descriptors there are once there are ``wanted``, or after a while."""
    until = time.monotonic() + 5
    while (now := engine.descriptors()) > wanted and time.monotonic() < until:
        time.sleep(0.05)
    return now


def test_vanishing_clients_leave_neither_a_word_nor_a_descriptor(own_engine: RunningEngine) -> None:
    engine = own_engine
    container = engine.run_container("busybox", "cat", OpenStdin=True)
    engine.wait_for_rooms()
    at_rest = engine.descriptors()
    vanish_everywhere(engine, container)  # whatever is opened once is open then
    before = settled(engine, at_rest)
    for _ in range(2):
        vanish_everywhere(engine, container)
    assert settled(engine, before) <= before
    assert engine.log() == ""
    assert engine.inspect(container)["State"]["Running"]
    assert not engine.fsck()


def vanish_everywhere(engine: RunningEngine, container: str) -> None:
    """Be many clients that vanish."""
    for data in requests(container):
        for said in cut(data):
            for hear_first in (False, True):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(engine.socket)
                    client.sendall(said)
                    if hear_first:
                        client.settimeout(0.05)
                        try:
                            client.recv(1)
                        except TimeoutError:
                            pass
    assert engine.client.get("/version")
