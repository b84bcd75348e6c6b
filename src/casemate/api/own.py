"""/casemate: what Docker's API has no word for."""

from __future__ import annotations

import msgspec

from casemate.api.answers import body, reply
from casemate.api.router import Call, Route
from casemate.engine import planning
from casemate.engine.model import CreateRequest
from casemate.http.message import Response


async def _plan(call: Call) -> Response:
    """Show how a container would be put together; nothing is made."""
    planned = planning.planned(call.engine, await body(call, CreateRequest))
    return reply(
        {
            "Text": planned.plan.describe(),
            "Plan": planned.plan.as_json(),
            "Spec": msgspec.to_builtins(planned.spec),
        }
    )


ROUTES = (Route("POST", "/casemate/plan", _plan),)
