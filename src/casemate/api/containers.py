"""/containers: everything about containers but their lives and execs.

Source: Docker Engine API v1.47, tag Container.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine
from typing import Any

from casemate.api.answers import (
    MULTIPLEXED,
    NO_CONTENT,
    RAW,
    converted,
    document,
    filters,
    hijack,
    platform_of,
    refuse_unknown,
    reply,
    stream,
)
from casemate.api.documents import container as documents
from casemate.api.router import Call, Route
from casemate.engine import attach as attaching
from casemate.engine import claims, create, export, listing, logs, remove
from casemate.engine.create import Created
from casemate.engine.engine import Engine
from casemate.engine.live import Client
from casemate.engine.logs import Wanted
from casemate.engine.model import CreateRequest
from casemate.engine.records import Record
from casemate.engine.terminal import check_size
from casemate.engine.threads import in_thread
from casemate.engine.times import time_of
from casemate.errors import InvalidArgument
from casemate.http.message import Response


def _record(call: Call) -> Record:
    return call.engine.records.find(call.values["id"])


async def _list(call: Call) -> Response:
    request = call.request
    size = request.flag("size")
    found = listing.listed(
        call.engine,
        everything=request.flag("all"),
        limit=request.number("limit"),
        filters=filters(call),
    )
    lines = [documents.line(call.engine, record) for record in found]
    return reply(await _with_sizes(call, found, lines) if size else lines)


async def _with_sizes(
    call: Call, records: list[Record], found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    sizes = await in_thread(lambda: [documents.sizes(call.engine, record) for record in records])
    return [document | size for document, size in zip(found, sizes, strict=True)]


async def _create(call: Call) -> Response:
    found = await document(call)
    asked = converted({} if found is None else found, CreateRequest)
    if found:
        refuse_unknown(found, CreateRequest)
    query, owned = call.request.query, call.request.flag("casemate-owner")
    work = create.create(call.engine, asked, query.get("name", ""), platform_of(call), owned=owned)
    created = await call.engine.to_the_end(_expecting(call.engine, work) if owned else work)
    return reply({"Id": created.record.id, "Warnings": list(created.warnings)}, 201)


async def _expecting(engine: Engine, work: Coroutine[Any, Any, Created]) -> Created:
    """Do ``work``; what it has created waits for its owner, even if who asked goes away."""
    created = await work
    engine.background(claims.expect_owner(engine, created.record.id))
    return created


async def _inspect(call: Call) -> Response:
    record = _record(call)
    document = documents.whole(call.engine, record)
    if call.request.flag("size"):
        (document,) = await _with_sizes(call, [record], [document])
    return reply(document)


async def _delete(call: Call) -> Response:
    request = call.request
    if request.flag("link"):
        raise InvalidArgument("removing a link is not supported: links are not")
    await call.engine.to_the_end(
        remove.remove(
            call.engine, _record(call), force=request.flag("force"), volumes=request.flag("v")
        )
    )
    return NO_CONTENT


async def _prune(call: Call) -> Response:
    deleted, freed = await call.engine.to_the_end(remove.prune(call.engine, filters(call)))
    return reply({"ContainersDeleted": deleted or None, "SpaceReclaimed": freed})


async def _logs(call: Call) -> None:
    request, record = call.request, _record(call)
    logs.check(record)
    wanted = Wanted(
        stdout=request.flag("stdout"),
        stderr=request.flag("stderr"),
        follow=request.flag("follow"),
        timestamps=request.flag("timestamps"),
        details=request.flag("details"),
        tail=_tail(request.query.get("tail", "all")),
        since_ns=time_of(request.query.get("since", "")),
        until_ns=time_of(request.query.get("until", "")),
    )
    if not (wanted.stdout or wanted.stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    content_type = RAW if record.fixed.config.tty else MULTIPLEXED
    await stream(call, logs.read(call.engine, record, wanted), content_type)


def _tail(text: str) -> int:
    """Return a number of lines, -1 for all; what is no number is all, as with Docker."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


async def _attach(call: Call) -> None:
    request, record = call.request, _record(call)
    attaching.check(call.engine, record)
    tty, owns = record.fixed.config.tty, request.flag("casemate-owner")
    # An owner does not leave: its end is that of the container.
    keys = b"" if owns else attaching.keys(request.query.get("detachKeys", ""))
    wanted = attaching.flags(
        stdin=request.flag("stdin") and record.fixed.config.open_stdin,
        stdout=request.flag("stdout"),
        stderr=request.flag("stderr"),
        tty=tty,
        owner=owns,
    )
    content_type = RAW if tty or call.version < (1, 42) else MULTIPLEXED
    descriptor = await hijack(call, content_type)
    try:
        if request.flag("logs"):
            await attaching.replay(call.engine, record, descriptor, wanted)
        if request.flag("stream"):
            await attaching.attach(call.engine, record, Client(descriptor, wanted, keys))
    finally:
        os.close(descriptor)


async def _resize(call: Call) -> Response:
    rows, columns = check_size(call.request.number("h"), call.request.number("w"))
    await attaching.resize(call.engine, _record(call), rows, columns)
    return Response(200)


async def _export(call: Call) -> None:
    pieces = export.root_tar(call.engine, _record(call))
    await stream(call, pieces, "application/x-tar")


ROUTES = (
    Route("GET", "/containers/json", _list),
    Route("POST", "/containers/create", _create),
    Route("POST", "/containers/prune", _prune),
    Route("GET", "/containers/{id}/json", _inspect),
    Route("GET", "/containers/{id}/logs", _logs),
    Route("GET", "/containers/{id}/export", _export),
    Route("POST", "/containers/{id}/attach", _attach),
    Route("POST", "/containers/{id}/resize", _resize),
    Route("DELETE", "/containers/{id}", _delete),
)
