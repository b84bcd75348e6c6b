"""/containers/{id}/archive and /changes: the files of a container.

Source: Docker Engine API v1.47, tag Container.
"""

from __future__ import annotations

import base64

import msgspec

from casemate.api.answers import BlockingBody, reply, sent, stream
from casemate.api.router import Call, Route
from casemate.engine import changes, copyin, copyout
from casemate.engine.copyin import Upload
from casemate.engine.pathstat import PathStat
from casemate.engine.records import Record
from casemate.engine.threads import in_thread, pieces
from casemate.errors import InvalidArgument
from casemate.http.message import Response


def _record(call: Call) -> Record:
    return call.engine.records.find(call.values["id"])


def _path(call: Call) -> str:
    path = call.request.query.get("path", "")
    if not path or "\0" in path:
        raise InvalidArgument("bad parameter: path cannot be empty nor have a NUL")
    return path


def _told(stat: PathStat) -> dict[str, str]:
    text = base64.b64encode(msgspec.json.encode(stat)).decode()
    return {"X-Docker-Container-Path-Stat": text}


async def _look(call: Call) -> Response:
    stat = await copyout.look(call.engine, _record(call), _path(call))
    return Response(200, headers=_told(stat))


async def _read(call: Call) -> None:
    async with copyout.reading(call.engine, _record(call), _path(call)) as found:
        await stream(call, pieces(found.tar()), "application/x-tar", _told(found.stat))


async def _write(call: Call) -> Response:
    request = call.request
    upload = Upload(
        _path(call),
        BlockingBody(request.body),
        keep_kinds=request.flag("noOverwriteDirNonDir"),
        as_user=request.flag("copyUIDGID"),
    )
    with sent():
        await call.engine.to_the_end(copyin.write(call.engine, _record(call), upload))
    return Response(200)


async def _changes(call: Call) -> Response:
    record = _record(call)
    return reply(await in_thread(lambda: changes.changes(call.engine, record)) or None)


ROUTES = (
    Route("HEAD", "/containers/{id}/archive", _look),
    Route("GET", "/containers/{id}/archive", _read),
    Route("PUT", "/containers/{id}/archive", _write),
    Route("GET", "/containers/{id}/changes", _changes),
)
