"""The handler of the engine's server: finds the action, runs it, and words what goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from casemate.api import (
    absent,
    containers,
    exec,
    files,
    groups,
    images,
    life,
    networks,
    observing,
    own,
    system,
    volumes,
)
from casemate.api.router import VERSION, Call, Router, split_version
from casemate.engine.engine import Engine
from casemate.errors import Error, http_status, shortage
from casemate.http.message import Request, Response

_LOG = logging.getLogger("casemate.api")

_HEADERS: Mapping[str, str] = {
    "Api-Version": f"{VERSION[0]}.{VERSION[1]}",
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": "casemate",
}


class App:
    """Answers requests for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._router = Router(
            (
                *system.ROUTES,
                *volumes.ROUTES,
                *containers.ROUTES,
                *life.ROUTES,
                *exec.ROUTES,
                *files.ROUTES,
                *observing.ROUTES,
                *images.ROUTES,
                *networks.ROUTES,
                *own.ROUTES,
                *groups.ROUTES,
                *absent.ROUTES,
            )
        )

    async def __call__(self, request: Request) -> Response | None:
        """Answer one request; None when the action has answered by itself."""
        try:
            version, path = split_version(request.path)
            action, values = self._router.find(request.method, path)
            response = await action(Call(self._engine, request, values, version))
        except Error as error:
            response = failure(error, http_status(error))
        except ConnectionError:
            raise
        except Exception as error:
            # The last line of defence: a defect ends one request, not the engine.
            response = _unexpected(request, error)
        if response is None:
            return None
        return response._replace(headers={**_HEADERS, **response.headers})


def _unexpected(request: Request, error: Exception) -> Response:
    """Return the answer for a defect, or for what the machine lacks: descriptors, memory, space."""
    known = shortage(error, f"cannot {request.method} {request.path[:200]}")
    if known:
        return failure(known, http_status(known))
    _LOG.error("%s %s failed", request.method, request.path, exc_info=error)
    return failure(Error(f"internal error: {type(error).__name__}: {error}"), 500)


def failure(error: Error, status: int) -> Response:
    """Return the answer that tells of ``error``."""
    document: dict[str, Any] = {"message": error.message}
    if error.hint:
        document["hint"] = error.hint
    return Response(status, msgspec.json.encode(document) + b"\n")
