"""One run of a health check's command inside a container."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import NamedTuple

from casemate.engine import execute
from casemate.engine.clock import now_ns
from casemate.engine.engine import Engine
from casemate.engine.live import Exec, ExecConfig
from casemate.engine.records import Probe, Record
from casemate.errors import Error
from casemate.supervise.connection import Gone

#: What is kept of the output, in bytes.
_OUTPUT = 4096
_CHUNK = 65536
_KILL = 9
#: The exit code of a command that took too long or could not be run.
FAILED = -1


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    output: str


async def probe(engine: Engine, record: Record, command: list[str], timeout_s: float) -> Probe:
    """Run ``command`` as the container's user, at most ``timeout_s`` long, and tell what it said.

    Raises Conflict for a container that does not run.
    """
    began_ns = now_ns()
    config = ExecConfig(cmd=command, attach_stdout=True, attach_stderr=True)
    exec_ = execute.create(engine, record, config)
    try:
        ran = await _run(engine, exec_, timeout_s)
    finally:
        engine.live(record.id).execs.pop(exec_.id, None)
    return Probe(began_ns, now_ns(), ran.code, ran.output)


async def _run(engine: Engine, exec_: Exec, timeout_s: float) -> Ran:
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        output = bytearray()
        reading = asyncio.ensure_future(_read(ours, output))
        try:
            with theirs:
                # Not framed, whatever it is: one text.
                await execute.start(engine, exec_, theirs.fileno(), tty=True)
            async with asyncio.timeout(timeout_s):
                code = await asyncio.shield(exec_.ended)
                await reading
        except TimeoutError:
            await _kill(engine, exec_)
            said = f"Health check exceeded timeout ({timeout_s:g}s)"
            return Ran(FAILED, f"{said}: {_text(output)}" if output else said)
        except Error as error:
            return Ran(FAILED, str(error))
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    return Ran(code, _text(output))


async def _read(source: socket.socket, output: bytearray) -> None:
    """Read to the end; what is too much is read and not kept, so that nobody waits."""
    loop = asyncio.get_running_loop()
    while chunk := await loop.sock_recv(source, _CHUNK):
        output += chunk[: _OUTPUT - len(output)]


async def _kill(engine: Engine, exec_: Exec) -> None:
    shim = engine.live(exec_.container).shim
    if shim:
        with contextlib.suppress(OSError, Gone):
            await shim.kill(exec_.number, _KILL)


def _text(output: bytearray) -> str:
    return output.decode(errors="replace")
