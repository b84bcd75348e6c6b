"""What this engine has none of: lists of it are empty, and there is nothing to prune.

Source: Docker Engine API v1.47, BuildPrune.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from casemate.api.answers import reply
from casemate.api.router import Action, Call, Route
from casemate.http.message import Response


def _always(document: Mapping[str, Any]) -> Action:
    async def answer(_: Call) -> Response:
        return reply(document)

    return answer


ROUTES = (Route("POST", "/build/prune", _always({"CachesDeleted": [], "SpaceReclaimed": 0})),)
