"""Attach a client's connection to a container's streams."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket

from casemate.engine import logs, states
from casemate.engine.engine import Engine
from casemate.engine.live import Client
from casemate.engine.logs import Wanted
from casemate.engine.records import Record
from casemate.engine.terminal import resized
from casemate.errors import InvalidArgument
from casemate.http.detachkeys import DEFAULT, detach_keys
from casemate.supervise import protocol
from casemate.supervise.connection import Gone


def flags(*, stdin: bool, stdout: bool, stderr: bool, tty: bool, owner: bool = False) -> int:
    """Return the flags of an attach; without a terminal the two streams are framed.

    When the connection of an ``owner`` is gone, the supervisor kills the process, with or without
    an engine.
    """
    return (
        protocol.ATTACH_STDIN * stdin
        | protocol.ATTACH_STDOUT * stdout
        | protocol.ATTACH_STDERR * stderr
        | protocol.ATTACH_FRAMED * (not tty)
        | protocol.ATTACH_OWNER * owner
    )


def check(engine: Engine, record: Record) -> None:
    """Refuse before the connection leaves HTTP. Raises Conflict."""
    states.allow("attach", record, engine.status(engine.current(record)))


def keys(text: str) -> bytes:
    """Return the detach keys that a client asks for, or the usual ones. Raises InvalidArgument."""
    try:
        found = detach_keys(text or DEFAULT)
    except ValueError:
        raise InvalidArgument(f"Invalid detach keys ({text[:200]}) provided") from None
    if len(found) > protocol.KEYS_MAX:
        raise InvalidArgument(f"more than {protocol.KEYS_MAX} detach keys: {text[:200]}")
    return found


async def attach(engine: Engine, record: Record, client: Client) -> None:
    """Give the stream socket of ``client``, which stays the caller's, to the first process.

    A container that does not run yet gets it at its start, so that no byte is missed.
    """
    live = engine.live(record.id)
    if live.shim is None or live.exit.done():
        if engine.current(record).state.status in ("created", "exited"):
            live.wait_for_start(client._replace(descriptor=os.dup(client.descriptor)))
        return
    try:
        await live.shim.attach(0, *client)
    except Gone:
        pass  # it has just ended: the closed connection says so
    except OSError as error:
        if error.errno != errno.ESRCH:
            raise


async def replay(engine: Engine, record: Record, descriptor: int, wanted: int) -> None:
    """Write what the container has said so far to ``descriptor``, before its streams follow."""
    selection = Wanted(
        stdout=bool(wanted & protocol.ATTACH_STDOUT), stderr=bool(wanted & protocol.ATTACH_STDERR)
    )
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=os.dup(descriptor)) as client:
        client.setblocking(False)
        async with contextlib.aclosing(logs.read(engine, record, selection)) as pieces:
            async for piece in pieces:
                await loop.sock_sendall(client, piece)


async def resize(engine: Engine, record: Record, rows: int, columns: int) -> None:
    """Set the size of the container's terminal. Raises Conflict when it does not run."""
    live = engine.live(record.id)
    states.allow("resize", record, engine.status(engine.current(record)))
    assert live.shim
    await resized(live.shim.resize(0, rows, columns), record.name)
