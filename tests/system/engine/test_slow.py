"""Clients and registries that are slow, and many, keep nobody else waiting."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from support.engine import PREFIX, RunningEngine, busybox_tar, eventually

pytestmark = pytest.mark.root

#: More than the threads that everybody shares.
MANY = 2 * min(32, (os.cpu_count() or 1) + 4)


@contextlib.contextmanager
def half_sent(engine: RunningEngine, path: str) -> Iterator[None]:
    """Be many clients that stop in the middle of an archive."""
    archive = busybox_tar()
    head = f"POST {PREFIX}{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(archive)}\r\n\r\n"
    with contextlib.ExitStack() as clients:
        for _ in range(MANY):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(engine.socket)
            client.sendall(head.encode() + archive[:100_000])
        yield


def threads(engine: RunningEngine) -> int:
    """Return how many threads the engine has."""
    assert engine.process
    return len(os.listdir(f"/proc/{engine.process.pid}/task"))


@pytest.mark.parametrize("path", ["/images/load", "/images/create?fromSrc=-&repo=slow"])
def test_archives_that_do_not_come_keep_nobody_waiting(engine: RunningEngine, path: str) -> None:
    before = threads(engine)
    with half_sent(engine, path):
        eventually(lambda: threads(engine), lambda now: now >= before + MANY)
        assert engine.says("busybox", "echo", "hi") == "hi\n"
        engine.client.post("/images/prune")
    eventually(lambda: threads(engine), lambda now: now <= before + 8)


def test_registries_that_do_not_answer_keep_nobody_waiting(engine: RunningEngine) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=2 * MANY) as registry,
        contextlib.ExitStack() as open_,
    ):
        registry.settimeout(10)
        name = f"127.0.0.1:{registry.getsockname()[1]}/x"
        for _ in range(MANY):
            client = open_.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(engine.socket)
            path = f"{PREFIX}/images/create?fromImage={name}&tag=1"
            client.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        for _ in range(MANY):
            open_.enter_context(registry.accept()[0])  # and not a word
        assert engine.says("busybox", "echo", "hi") == "hi\n"
