"""/volumes. Source: Docker Engine API v1.47, tag Volume."""

from __future__ import annotations

from casemate.api.answers import NO_CONTENT, filters, reply, whole_body
from casemate.api.documents import volume as documents
from casemate.api.router import Call, Route
from casemate.engine import volumes
from casemate.engine.model import VolumeRequest
from casemate.errors import InvalidArgument, Unsupported
from casemate.http.message import Response

#: Up to this version a prune takes all volumes that nobody mounts, not only nameless ones.
_PRUNED_ALL = (1, 41)


async def _list(call: Call) -> Response:
    found = volumes.listed(call.engine, filters(call))
    return reply({"Volumes": [documents.whole(call.engine, v) for v in found], "Warnings": None})


async def _create(call: Call) -> Response:
    asked = await whole_body(call, VolumeRequest)
    if asked.driver not in ("", "local"):
        raise Unsupported(f"volume driver {asked.driver[:80]!r} is not supported: use local")
    if asked.cluster_volume_spec:
        raise InvalidArgument("a cluster volume needs a swarm, and this engine is in none")
    volume = await call.engine.to_the_end(
        volumes.create(call.engine, asked.name, asked.labels or {}, asked.driver_opts or {})
    )
    return reply(documents.whole(call.engine, volume), 201)


async def _inspect(call: Call) -> Response:
    return reply(documents.whole(call.engine, call.engine.volumes.find(call.values["name"])))


async def _delete(call: Call) -> Response:
    force = call.request.flag("force")
    await call.engine.to_the_end(volumes.remove(call.engine, call.values["name"], force=force))
    return NO_CONTENT


async def _prune(call: Call) -> Response:
    wanted = filters(call)
    if call.version <= _PRUNED_ALL:
        wanted.setdefault("all", ["true"])
    gone, freed = await call.engine.to_the_end(volumes.prune(call.engine, wanted))
    return reply({"VolumesDeleted": gone, "SpaceReclaimed": freed})


ROUTES = (
    Route("GET", "/volumes", _list),
    Route("POST", "/volumes/create", _create),
    Route("GET", "/volumes/{name}", _inspect),
    Route("DELETE", "/volumes/{name}", _delete),
    Route("POST", "/volumes/prune", _prune),
)
