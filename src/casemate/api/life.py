"""/containers/ID/VERB: a container's life. Source: Docker Engine API v1.47, tag Container."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from casemate.api.answers import NO_CONTENT, converted, document, refuse_unknown, reply
from casemate.api.router import Call, Route
from casemate.engine import life, pausing, rename, restart, stop, update
from casemate.engine.model import HostConfig
from casemate.engine.records import Record
from casemate.engine.waiting import waiting
from casemate.errors import Error, InvalidArgument
from casemate.http.message import Response


def _record(call: Call) -> Record:
    return call.engine.records.find(call.values["id"])


async def _start(call: Call) -> Response:
    started = await call.engine.to_the_end(life.start(call.engine, _record(call)))
    return NO_CONTENT if started else Response(304)


async def _stop(call: Call) -> Response:
    request = call.request
    work = stop.stop(
        call.engine,
        _record(call),
        signal=request.query.get("signal", ""),
        timeout_s=request.number("t"),
    )
    stopped = await call.engine.to_the_end(work)
    return NO_CONTENT if stopped else Response(304)


async def _restart(call: Call) -> Response:
    request = call.request
    work = restart.restart(
        call.engine,
        _record(call),
        signal=request.query.get("signal", ""),
        timeout_s=request.number("t"),
    )
    await call.engine.to_the_end(work)
    return NO_CONTENT


async def _kill(call: Call) -> Response:
    work = stop.kill(call.engine, _record(call), call.request.query.get("signal", ""))
    await call.engine.to_the_end(work)
    return NO_CONTENT


async def _pause(call: Call) -> Response:
    await call.engine.to_the_end(pausing.pause(call.engine, _record(call)))
    return NO_CONTENT


async def _unpause(call: Call) -> Response:
    await call.engine.to_the_end(pausing.unpause(call.engine, _record(call)))
    return NO_CONTENT


async def _rename(call: Call) -> Response:
    name = call.request.query.get("name", "")
    await call.engine.to_the_end(rename.rename(call.engine, _record(call), name))
    return NO_CONTENT


async def _update(call: Call) -> Response:
    found = await document(call)
    if not isinstance(found, dict):
        raise InvalidArgument("invalid JSON: got EOF while reading request body")
    refuse_unknown(found, HostConfig)
    asked = converted(found, HostConfig)
    await call.engine.to_the_end(update.update(call.engine, _record(call), asked))
    return reply({"Warnings": []})


async def _wait(call: Call) -> None:
    """The head goes out at once: it tells the client that it will not miss the end."""
    condition = call.request.query.get("condition", "")
    future = waiting(call.engine, call.values["id"], condition)
    out = await call.request.exchange.begin(200, {"Content-Type": "application/json"})
    code = await asyncio.shield(future)
    if condition != "removed":
        # What ended with that code has done so for good, even if the machine goes down now. If the
        # disk does not take it, it has happened all the same, and nobody shall wait for ever.
        with contextlib.suppress(Error):
            await call.engine.durability.settled()
    await out.write(msgspec.json.encode({"StatusCode": code}) + b"\n")
    await out.end()


ROUTES = (
    Route("POST", "/containers/{id}/start", _start),
    Route("POST", "/containers/{id}/stop", _stop),
    Route("POST", "/containers/{id}/restart", _restart),
    Route("POST", "/containers/{id}/kill", _kill),
    Route("POST", "/containers/{id}/pause", _pause),
    Route("POST", "/containers/{id}/unpause", _unpause),
    Route("POST", "/containers/{id}/rename", _rename),
    Route("POST", "/containers/{id}/update", _update),
    Route("POST", "/containers/{id}/wait", _wait),
)
