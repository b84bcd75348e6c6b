"""/exec and the creation of execs. Source: Docker Engine API v1.47, tag Exec."""

from __future__ import annotations

import os

import msgspec

from casemate.api.answers import (
    MULTIPLEXED,
    RAW,
    converted,
    document,
    hijack,
    optional_body,
    refuse_unknown,
    reply,
)
from casemate.api.router import Call, Route
from casemate.engine import execute
from casemate.engine.live import ExecConfig
from casemate.engine.terminal import check_size
from casemate.errors import Error
from casemate.http.framing import frame
from casemate.http.message import Response


class _Start(msgspec.Struct, frozen=True, rename="pascal"):
    detach: bool = False
    tty: bool = False
    console_size: tuple[int, int] | None = None


async def _create(call: Call) -> Response:
    found = await document(call)
    if found and "detachKeys" in found:
        found["DetachKeys"] = found.pop("detachKeys")  # as docker-py spells it
    config = converted({} if found is None else found, ExecConfig)
    refuse_unknown(found or {}, ExecConfig)
    if config.console_size:
        check_size(*config.console_size)
    record = call.engine.records.find(call.values["id"])
    return reply({"Id": execute.create(call.engine, record, config).id}, 201)


async def _start(call: Call) -> Response | None:
    exec_ = execute.find(call.engine, call.values["id"])
    asked = await optional_body(call, _Start) or _Start()
    if asked.console_size:
        check_size(*asked.console_size)
    execute.check(call.engine, exec_)
    if asked.detach:
        await call.engine.to_the_end(execute.start(call.engine, exec_, None, tty=False))
        return Response(200)
    tty = exec_.config.tty
    content_type = RAW if tty or call.version < (1, 42) else MULTIPLEXED
    descriptor = await hijack(call, content_type)
    try:
        await execute.start(call.engine, exec_, descriptor, tty=tty, size=asked.console_size)
    except Error as error:
        # The connection has left HTTP: the reason is what the process would have said.
        text = f"{error.message}\r\n".encode()
        os.write(descriptor, text if tty else frame(1, len(text)) + text)
    finally:
        os.close(descriptor)
    return None


async def _resize(call: Call) -> Response:
    exec_ = execute.find(call.engine, call.values["id"])
    rows, columns = check_size(call.request.number("h"), call.request.number("w"))
    await execute.resize(call.engine, exec_, rows, columns)
    return Response(200)


async def _inspect(call: Call) -> Response:
    exec_ = execute.find(call.engine, call.values["id"])
    await execute.settle(call.engine, exec_)
    config = exec_.config
    command = config.cmd or []
    return reply(
        {
            "ID": exec_.id,
            "Running": exec_.started and not exec_.ended.done(),
            "ExitCode": exec_.exit_code,
            "ProcessConfig": {
                "tty": config.tty,
                "entrypoint": command[0] if command else "",
                "arguments": command[1:],
                "privileged": config.privileged,
                "user": config.user,
            },
            "OpenStdin": config.attach_stdin,
            "OpenStderr": config.attach_stderr,
            "OpenStdout": config.attach_stdout,
            "CanRemove": exec_.ended.done(),
            "ContainerID": exec_.container,
            "DetachKeys": config.detach_keys,
            "Pid": exec_.pid,
        }
    )


ROUTES = (
    Route("POST", "/containers/{id}/exec", _create),
    Route("POST", "/exec/{id}/start", _start),
    Route("POST", "/exec/{id}/resize", _resize),
    Route("GET", "/exec/{id}/json", _inspect),
)
