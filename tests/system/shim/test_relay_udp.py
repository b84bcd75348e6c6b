"""The relay of published UDP ports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator

import pytest

from support.relays import LOCAL4, assert_idle, bound, relay_of, relayed, target
from support.shims import Lab, asynchronous

pytestmark = pytest.mark.root


@contextlib.asynccontextmanager
async def udp_server() -> AsyncIterator[tuple[int, set[tuple[str, int]]]]:
    """Send datagrams back; gives the port, and the set of those who have spoken."""
    clients: set[tuple[str, int]] = set()
    loop = asyncio.get_running_loop()

    async def answer(sock: socket.socket) -> None:
        while True:
            data, address = await loop.sock_recvfrom(sock, 1 << 16)
            clients.add(address)
            await loop.sock_sendto(sock, data, address)

    with bound(socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        answering = asyncio.create_task(answer(sock))
        try:
            yield sock.getsockname()[1], clients
        finally:
            answering.cancel()
            await asyncio.wait([answering])


async def asked(client: socket.socket, data: bytes, patience_s: float = 20) -> bytes:
    """Send ``data``, again when there is no answer in time, and return the answer."""
    loop = asyncio.get_running_loop()
    while True:
        client.send(data)
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(loop.sock_recv(client, 1 << 16), patience_s)


def udp_client(address: str, port: int) -> socket.socket:
    """Return a socket that takes answers from the address only that it has asked."""
    client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    client.setblocking(False)
    client.connect((address, port))
    return client


@asynchronous
async def test_udp_clients_are_kept_apart(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    async with udp_server() as (port, clients_seen):
        front = await relayed(task, socket.SOCK_DGRAM, port)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(udp_client(LOCAL4, front)) for _ in range(20)]
            for turn in range(3):
                for number, client in enumerate(clients):
                    data = b"%d %d" % (turn, number)
                    assert await asked(client, data) == data
        assert len(clients_seen) == 20


@asynchronous
async def test_udp_datagrams_of_any_size_pass(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    async with udp_server() as (port, _):
        front = await relayed(task, socket.SOCK_DGRAM, port)
        with udp_client(LOCAL4, front) as client:
            for size in (0, 1, 1500, 65507):
                assert len(await asked(client, bytes(size))) == size


@pytest.mark.parametrize(
    ("listening", "addresses"),
    [
        ("0.0.0.0", ("127.0.0.1", "127.0.0.2", "127.8.9.10")),
        ("::", ("::1",)),
    ],
)
@asynchronous
async def test_udp_answers_come_from_the_address_that_was_asked(
    lab: Lab, listening: str, addresses: tuple[str, ...]
) -> None:
    task = await lab.run("sleep", "1000")
    async with udp_server() as (port, _):
        front = await relayed(task, socket.SOCK_DGRAM, port, listening)
        for address in addresses:
            with udp_client(address, front) as client:
                assert await asked(client, b"x") == b"x"


@asynchronous
async def test_udp_answers_for_ipv4_on_a_socket_of_both(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    async with udp_server() as (port, _):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(("::", 0))
            front = sock.getsockname()[1]
            await task.shim.relay(1, [sock.fileno()], [target(port, socket.IPPROTO_UDP)])
        for address in ("127.0.0.1", "127.0.0.2", "::1"):
            with udp_client(address, front) as client:
                assert await asked(client, b"x") == b"x"


@asynchronous
async def test_thousands_of_udp_clients_push_out_the_oldest(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    async with udp_server() as (port, clients_seen):
        front = await relayed(task, socket.SOCK_DGRAM, port)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(udp_client(LOCAL4, front)) for _ in range(4200)]
            for start in range(0, 4200, 100):
                await asyncio.gather(*(asked(c, b"x") for c in clients[start : start + 100]))
            assert len(os.listdir(f"/proc/{relay_of(task)}/fd")) < 4110
            assert await asked(clients[0], b"again") == b"again"  # met anew
            known = len(clients_seen)
            assert await asked(clients[-1], b"again") == b"again"
            assert len(clients_seen) == known


@asynchronous
async def test_a_flood_of_new_udp_clients_is_survived(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    async with udp_server() as (port, _):
        front = await relayed(task, socket.SOCK_DGRAM, port)
        relay = relay_of(task)
        resource.prlimit(relay, resource.RLIMIT_NOFILE, (40, 1000))
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(udp_client(LOCAL4, front)) for _ in range(300)]
            for _ in range(5):
                for client in clients:
                    client.send(b"x")
                await asyncio.sleep(0)
            assert await asked(clients[0], b"y", 0.2) in (b"x", b"y")
        assert relay_of(task) == relay


@asynchronous
async def test_a_closed_udp_port_is_nothing_special(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    front = await relayed(task, socket.SOCK_DGRAM, 9)
    with udp_client(LOCAL4, front) as client:
        for _ in range(100):
            client.send(b"x")
    await assert_idle(relay_of(task))
