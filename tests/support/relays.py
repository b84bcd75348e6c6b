"""What tests of relays share: bound sockets, servers in the place of containers, idleness."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

from casemate.supervise.protocol import RelayTarget
from support.shims import Task

#: What an idle relay of one port holds: three times nothing, the port, its queue, a spare.
HELD = 6
LOCAL4, LOCAL6 = "127.0.0.1", "::1"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def bound(
    kind: socket.SocketKind, address: str = LOCAL4, buffer_bytes: int | None = None
) -> socket.socket:
    """Return a bound socket, as the engine hands it over."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    if buffer_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    sock.bind((address, 0))
    if kind == socket.SOCK_STREAM:
        sock.listen(1024)
    return sock


def target(port: int, protocol: int = socket.IPPROTO_TCP, address: str = LOCAL4) -> RelayTarget:
    """Return where the relay sends what it gets."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return RelayTarget(family, protocol, port, socket.inet_pton(family, address))


async def relayed(
    task: Task,
    kind: socket.SocketKind,
    port: int,
    address: str = LOCAL4,
    buffer_bytes: int | None = None,
) -> int:
    """Relay to ``port``; returns the port on ``address`` that is relayed."""
    protocol = socket.IPPROTO_TCP if kind == socket.SOCK_STREAM else socket.IPPROTO_UDP
    with bound(kind, address, buffer_bytes) as sock:
        await task.shim.relay(task.next(), [sock.fileno()], [target(port, protocol)])
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def server(serve: Serve, buffer_bytes: int | None = None) -> AsyncIterator[int]:
    """Serve on a port of its own, which is given."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            await closed(writer)

    sock = bound(socket.SOCK_STREAM, buffer_bytes=buffer_bytes)
    async with await asyncio.start_server(handle, sock=sock, backlog=1024):
        yield sock.getsockname()[1]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)  # for what the event loop still closes


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close, and wait until that is done."""
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, until its end."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


def relay_of(task: Task) -> int:
    """Return the pid of the only relay."""
    with open(f"/proc/{task.shim.pid}/task/{task.shim.pid}/children") as file:
        children = map(int, file.read().split())
        (relay,) = set(children) - {task.shim.room_pid}
    return relay


def cpu_ticks(pid: int) -> int:
    """Return the processor time of a process, in hundredths of a second."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def assert_idle(pid: int) -> None:
    """Fail when the process is busy although there is nothing to do."""
    before = cpu_ticks(pid)
    await asyncio.sleep(0.4)
    assert cpu_ticks(pid) - before <= 4


async def until(condition: Callable[[], bool]) -> None:
    """Wait until ``condition`` holds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)
