"""/networks. Source: Docker Engine API v1.47, tag Network."""

from __future__ import annotations

from collections.abc import Callable

from casemate.api.answers import NO_CONTENT, filters, reply, whole_body
from casemate.api.documents import network as documents
from casemate.api.router import Call, Route
from casemate.engine import connecting, labels
from casemate.engine.engine import Engine
from casemate.engine.filters import flag, refuse_unknown
from casemate.engine.model import (
    EndpointSettings,
    NetworkConnect,
    NetworkCreate,
    NetworkDisconnect,
)
from casemate.errors import InvalidArgument
from casemate.http.message import Response
from casemate.network.model import Network
from casemate.network.request import is_predefined

_FILTERS = frozenset(("dangling", "driver", "id", "label", "name", "scope", "type"))
_TYPES = ("builtin", "custom")


async def _list(call: Call) -> Response:
    wanted = filters(call)
    refuse_unknown(wanted, _FILTERS)
    for kind in wanted.get("type", ()):
        if kind not in _TYPES:
            raise InvalidArgument(f"invalid filter: 'type'='{kind[:40]}'")
    known = call.engine.networking.known()
    found = [network for network in known if _matches(call.engine, network, wanted)]
    return reply([documents.described(call.engine, network, whole=False) for network in found])


def _matches(engine: Engine, network: Network, wanted: dict[str, list[str]]) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "id": lambda v: network.id.startswith(v),
        "name": lambda v: v in network.name,
        "driver": lambda v: network.driver == v,
        "type": lambda v: (v == "builtin") == is_predefined(network),
        "scope": lambda v: v == "local",
        "dangling": lambda v: flag("dangling", v) == _is_dangling(engine, network),
        "label": lambda v: labels.has(network.labels, v),
    }
    return all(
        # Values of one filter are alternatives, but every label must be there.
        (all if name == "label" else any)(tests[name](value) for value in values)
        for name, values in wanted.items()
        if values
    )


def _is_dangling(engine: Engine, network: Network) -> bool:
    return not is_predefined(network) and not engine.networking.store.endpoints(network=network.id)


async def _inspect(call: Call) -> Response:
    return reply(
        documents.described(call.engine, call.engine.networking.find(call.values["id"]), whole=True)
    )


async def _create(call: Call) -> Response:
    asked = await whole_body(call, NetworkCreate)
    network = await call.engine.to_the_end(connecting.create(call.engine, asked))
    return reply({"Id": network.id, "Warning": ""}, 201)


async def _delete(call: Call) -> Response:
    network = call.engine.networking.find(call.values["id"])
    await call.engine.to_the_end(connecting.remove(call.engine, network))
    return NO_CONTENT


async def _connect(call: Call) -> Response:
    asked = await whole_body(call, NetworkConnect)
    network = call.engine.networking.find(call.values["id"])
    record = call.engine.records.find(asked.container)
    settings = asked.endpoint_config or EndpointSettings()
    await call.engine.to_the_end(connecting.connect(call.engine, network, record, settings))
    return Response(200)


async def _disconnect(call: Call) -> Response:
    asked = await whole_body(call, NetworkDisconnect)
    network = call.engine.networking.find(call.values["id"])
    record = call.engine.records.find(asked.container)
    work = connecting.disconnect(call.engine, network, record, force=asked.force)
    await call.engine.to_the_end(work)
    return Response(200)


async def _prune(call: Call) -> Response:
    gone = await call.engine.to_the_end(connecting.prune(call.engine, filters(call)))
    return reply({"NetworksDeleted": gone})


ROUTES = (
    Route("GET", "/networks", _list),
    Route("POST", "/networks/create", _create),
    Route("POST", "/networks/prune", _prune),
    Route("GET", "/networks/{id}", _inspect),
    Route("DELETE", "/networks/{id}", _delete),
    Route("POST", "/networks/{id}/connect", _connect),
    Route("POST", "/networks/{id}/disconnect", _disconnect),
)
