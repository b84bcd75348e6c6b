"""/containers/{id}/top and /stats: what runs in a container, and what that uses.

Source: Docker Engine API v1.47, tag Container.
"""

from __future__ import annotations

from casemate.api.answers import reply, stream
from casemate.api.router import Call, Route
from casemate.engine import stats, top
from casemate.engine.records import Record
from casemate.http.message import Response

_JSON = "application/json"


def _record(call: Call) -> Record:
    return call.engine.records.find(call.values["id"])


async def _top(call: Call) -> Response:
    found = await top.top(call.engine, _record(call), call.request.query.get("ps_args", ""))
    return reply(found)


async def _stats(call: Call) -> Response | None:
    request, record = call.request, _record(call)
    if request.flag("stream", True):
        await stream(call, stats.follow(call.engine, record), _JSON)
        return None
    compares = not request.flag("one-shot")
    return Response(200, await stats.once(call.engine, record, compares=compares))


ROUTES = (
    Route("GET", "/containers/{id}/top", _top),
    Route("GET", "/containers/{id}/stats", _stats),
)
