"""/networks, as far as the default ones go. Source: Docker Engine API v1.47, tag Network."""

from __future__ import annotations

from collections.abc import Callable

from casemate.api.answers import filters, reply
from casemate.api.documents import network as documents
from casemate.api.router import Call, Route
from casemate.engine.filters import refuse_unknown
from casemate.errors import InvalidArgument
from casemate.http.message import Response
from casemate.network.model import Network

_FILTERS = frozenset(("dangling", "driver", "id", "label", "name", "scope", "type"))
_TYPES = ("builtin", "custom")


async def _list(call: Call) -> Response:
    wanted = filters(call)
    refuse_unknown(wanted, _FILTERS)
    for kind in wanted.get("type", ()):
        if kind not in _TYPES:
            raise InvalidArgument(f"invalid filter: 'type'='{kind[:40]}'")
    found = [network for network in call.engine.networking.known() if _matches(network, wanted)]
    return reply([documents.described(call.engine, network, whole=False) for network in found])


def _matches(network: Network, wanted: dict[str, list[str]]) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "id": lambda v: network.id.startswith(v),
        "name": lambda v: v in network.name,
        "driver": lambda v: network.driver == v,
        "type": lambda v: v == "builtin",
        "scope": lambda v: v == "local",
        "dangling": lambda v: v in ("false", "0"),  # nobody can take away those that are there
        "label": lambda v: _has_label(network, v),
    }
    return all(
        # Values of one filter are alternatives, but every label must be there.
        (all if name == "label" else any)(tests[name](value) for value in values)
        for name, values in wanted.items()
        if values
    )


def _has_label(network: Network, text: str) -> bool:
    name, separator, value = text.partition("=")
    return name in network.labels and (not separator or network.labels[name] == value)


async def _inspect(call: Call) -> Response:
    return reply(
        documents.described(call.engine, call.engine.networking.find(call.values["id"]), whole=True)
    )


ROUTES = (
    Route("GET", "/networks", _list),
    Route("GET", "/networks/{id}", _inspect),
)
