"""The relay of published TCP ports, with a server of the test's own in the place of a container."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import resource
import signal
import socket
import struct
import time

import pytest

from support.relays import (
    HELD,
    LOCAL4,
    LOCAL6,
    assert_idle,
    bound,
    closed,
    cpu_ticks,
    echo,
    relay_of,
    relayed,
    server,
    target,
    until,
)
from support.shims import Lab, asynchronous, within

pytestmark = pytest.mark.root


async def exchanged(port: int, data: bytes, host: str = LOCAL4) -> bytes:
    """Send ``data``, close that half, and return all that comes back."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        received, _ = await asyncio.gather(reader.read(), _send(writer, data))
        return received
    finally:
        await closed(writer)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()
    writer.write_eof()


@asynchronous
async def test_large_transfers_both_ways_at_once(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    data = random.Random(1).randbytes(1 << 20) * 50
    async with server(echo) as port:
        got = await within(exchanged(await relayed(task, socket.SOCK_STREAM, port), data), 50)
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


@asynchronous
async def test_what_is_said_after_a_half_close_arrives(lab: Lab) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = await reader.read()
        writer.write(b"heard " + heard)

    task = await lab.run("sleep", "1000")
    async with server(serve) as port:
        front = await relayed(task, socket.SOCK_STREAM, port)
        assert await within(exchanged(front, b"all")) == b"heard all"


@asynchronous
async def test_the_server_may_speak_and_end_first(lab: Lab) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.write_eof()
        assert await reader.read() == b"late"

    task = await lab.run("sleep", "1000")
    async with server(serve) as port:
        front = await relayed(task, socket.SOCK_STREAM, port)
        reader, writer = await asyncio.open_connection(LOCAL4, front)
        assert await within(reader.read()) == b"bye"
        await _send(writer, b"late")
        await closed(writer)


@asynchronous
async def test_hundreds_of_connections_at_once(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    async with server(echo) as port:
        front = await relayed(task, socket.SOCK_STREAM, port)
        wanted = [b"%d" % n * 1000 for n in range(400)]
        assert await within(asyncio.gather(*(exchanged(front, d) for d in wanted)), 50) == wanted
        relay = relay_of(task)
        await until(lambda: len(os.listdir(f"/proc/{relay}/fd")) <= HELD)


@asynchronous
async def test_a_busy_connection_leaves_the_others_their_turn(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    async with server(echo) as port:
        front = await relayed(task, socket.SOCK_STREAM, port)
        busy = [asyncio.create_task(exchanged(front, bytes(60_000_000))) for _ in range(2)]
        await asyncio.sleep(0)
        assert await within(exchanged(front, b"quick")) == b"quick"
        assert not all(b.done() for b in busy)
        await within(asyncio.gather(*busy), 50)


@asynchronous
async def test_a_port_that_the_container_refuses_is_closed_to_the_client(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    with bound(socket.SOCK_STREAM) as unused:
        port = unused.getsockname()[1]
    front = await relayed(task, socket.SOCK_STREAM, port)
    for _ in range(3):
        with contextlib.suppress(OSError):
            assert await within(exchanged(front, b"x")) == b""


@asynchronous
async def test_small_packets_to_a_slow_reader_do_not_make_it_spin(lab: Lab) -> None:
    stop = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stop.wait()
        writer.write(b"%d" % len(await reader.read()))

    task = await lab.run("sleep", "1000")
    async with server(serve, 4096) as port:
        front = await relayed(task, socket.SOCK_STREAM, port, buffer_bytes=4096)
        with socket.create_connection((LOCAL4, front)) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            client.setblocking(False)
            sent = 0
            with pytest.raises(BlockingIOError):
                while True:
                    sent += client.send(b"tiny")
            await assert_idle(relay_of(task))
            stop.set()
            client.shutdown(socket.SHUT_WR)
            loop = asyncio.get_running_loop()
            assert await within(loop.sock_recv(client, 100)) == b"%d" % sent


@asynchronous
async def test_a_reset_after_a_half_close_ends_the_connection(lab: Lab) -> None:
    ended = asyncio.Event()
    heard = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        heard.set()
        with contextlib.suppress(ConnectionError):
            while True:  # until it is told that nobody listens any more
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        ended.set()

    task = await lab.run("sleep", "1000")
    async with server(serve) as port:
        front = await relayed(task, socket.SOCK_STREAM, port)
        client = socket.create_connection((LOCAL4, front))
        client.shutdown(socket.SHUT_WR)
        await within(heard.wait())
        # A linger time of 0: closing resets.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await within(ended.wait())
        await assert_idle(relay_of(task))


@asynchronous
async def test_a_reset_client_of_a_silent_server_is_noticed(lab: Lab) -> None:
    arrived = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
            arrived.set()
            await asyncio.Event().wait()

    task = await lab.run("sleep", "1000")
    async with server(serve) as port:
        front = await relayed(task, socket.SOCK_STREAM, port)
        client = socket.create_connection((LOCAL4, front))
        client.shutdown(socket.SHUT_WR)
        await within(arrived.wait())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        relay = relay_of(task)
        await until(lambda: len(os.listdir(f"/proc/{relay}/fd")) <= HELD)
        await assert_idle(relay)


@asynchronous
async def test_without_descriptors_clients_are_turned_away_for_the_time(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    async with server(echo) as port:
        front = await relayed(task, socket.SOCK_STREAM, port)
        assert await within(exchanged(front, b"before")) == b"before"
        relay = relay_of(task)
        resource.prlimit(relay, resource.RLIMIT_NOFILE, (20, 1000))
        held = [await asyncio.open_connection(LOCAL4, front) for _ in range(20)]
        await assert_idle(relay)
        for _, writer in held:
            await closed(writer)
        resource.prlimit(relay, resource.RLIMIT_NOFILE, (1000, 1000))
        assert await within(exchanged(front, b"after")) == b"after"


@asynchronous
async def test_an_ipv6_port_leads_to_an_ipv4_container(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    async with server(echo) as port:
        front = await relayed(task, socket.SOCK_STREAM, port, LOCAL6)
        assert await within(exchanged(front, b"six", LOCAL6)) == b"six"


@asynchronous
async def test_ports_are_free_after_the_relay_and_after_the_container(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    ports = []
    for _ in range(2):
        number = task.next()
        with bound(socket.SOCK_STREAM) as sock:
            await task.shim.relay(number, [sock.fileno()], [target(9)])
            ports.append(sock.getsockname())
    await task.shim.unrelay(number)
    with socket.create_server(ports[1]):
        pass
    with pytest.raises(OSError, match="in use"):
        socket.create_server(ports[0])
    await task.shim.kill(0, signal.SIGKILL)
    await task.exit()
    with socket.create_server(ports[0]):
        pass


@asynchronous
async def test_hundreds_of_ports_are_passed_in_portions(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    async with server(echo) as port:
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(bound(socket.SOCK_STREAM)) for _ in range(500)]
            fronts = [sock.getsockname()[1] for sock in socks]
            await task.shim.relay(1, [s.fileno() for s in socks], [target(port)] * 500)
        for front in (fronts[0], fronts[239], fronts[240], fronts[499]):
            assert await within(exchanged(front, b"x")) == b"x"
        await task.shim.unrelay(1)
        with socket.create_server((LOCAL4, fronts[0])), socket.create_server((LOCAL4, fronts[499])):
            pass


@asynchronous
async def test_a_relay_holds_nothing_but_its_own(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    clients = [await task.attach() for _ in range(600)]
    assert clients
    await relayed(task, socket.SOCK_STREAM, 9)
    await until(lambda: len(os.listdir(f"/proc/{relay_of(task)}/fd")) <= HELD)
    with open(f"/proc/{relay_of(task)}/comm") as file:
        assert file.read() == "casemate-relay\n"


@asynchronous
async def test_a_relay_ends_with_its_supervisor(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    front = await relayed(task, socket.SOCK_STREAM, 9)
    task.shim.kill_hard()
    await within(task.shim.gone)
    await until(lambda: _is_free(front))


def _is_free(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_server((LOCAL4, port)):
        return True
    return False


@asynchronous
async def test_a_relay_that_is_killed_is_no_zombie(lab: Lab) -> None:
    task = await lab.run("sleep", "1000")
    await relayed(task, socket.SOCK_STREAM, 9)
    relay = relay_of(task)
    os.kill(relay, signal.SIGKILL)
    await until(lambda: not os.path.exists(f"/proc/{relay}"))


def test_time_is_measured() -> None:
    """The unit that ``assert_idle`` counts in is what it is taken for."""
    assert os.sysconf("SC_CLK_TCK") == 100
    before = cpu_ticks(os.getpid())
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert cpu_ticks(os.getpid()) - before >= 5
