"""/casemate: what Docker's API has no word for."""

from __future__ import annotations

from typing import Any

import msgspec

from casemate.api.answers import converted, document, refuse_unknown, reply
from casemate.api.router import Call, Route
from casemate.engine import check, planning, walls
from casemate.engine.check import Checked
from casemate.engine.model import CreateRequest
from casemate.http.message import Response


async def _plan(call: Call) -> Response:
    """Show how a container would be put together; nothing is made."""
    found = await document(call)
    asked = converted({} if found is None else found, CreateRequest)
    refuse_unknown(found or {}, CreateRequest)
    planned = planning.planned(call.engine, asked)
    return reply(
        {
            "Text": planned.describe(),
            "Plan": planned.bundle.plan.as_json(),
            "Spec": msgspec.to_builtins(planned.bundle.spec),
            "Network": planned.network,
            "Ports": planned.ports,
            "Limits": planned.limits,
        }
    )


async def _fsck(call: Call) -> None:
    """Check everything, a JSON line for each problem, the counts at the end."""
    repair = call.request.flag("repair")
    out = await call.request.exchange.begin(200, {"Content-Type": "application/json"})
    async for found in check.check(call.engine, repair=repair):
        if isinstance(found, Checked):
            counts = {k.capitalize(): v for k, v in found._asdict().items()}
            document: dict[str, Any] = {"Checked": counts}
        else:
            document = {k.capitalize(): v for k, v in found._asdict().items()}
        await out.write(msgspec.json.encode(document) + b"\n")
    await out.end()


async def _walls(call: Call) -> Response:
    """Show each wall of a running container beside what the kernel says of it."""
    return reply(await walls.walls(call.engine, call.engine.records.find(call.values["id"])))


ROUTES = (
    Route("POST", "/casemate/plan", _plan),
    Route("POST", "/casemate/fsck", _fsck),
    Route("GET", "/casemate/containers/{id}/walls", _walls),
)
