"""/networks, as far as the default ones go. Source: Docker Engine API v1.47, tag Network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from casemate.api.answers import filters, reply
from casemate.api.router import Call, Route
from casemate.engine.clock import rfc3339
from casemate.http.message import Response
from casemate.network.model import Network


async def _list(call: Call) -> Response:
    wanted = filters(call)
    found = [network for network in call.engine.networking.known() if _matches(network, wanted)]
    return reply([_described(call, network, whole=False) for network in found])


def _matches(network: Network, wanted: dict[str, list[str]]) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "id": lambda v: network.id.startswith(v),
        "name": lambda v: v in network.name,
        "driver": lambda v: network.driver == v,
        "type": lambda v: v == "builtin",
        "scope": lambda v: v == "local",
        "dangling": lambda _: False,
    }
    return all(
        name in tests and any(tests[name](value) for value in values)
        for name, values in wanted.items()
        if values
    )


async def _inspect(call: Call) -> Response:
    return reply(_described(call, call.engine.networking.find(call.values["id"]), whole=True))


def _described(call: Call, network: Network, *, whole: bool) -> dict[str, Any]:
    containers: dict[str, Any] = {}
    if whole:
        for endpoint in call.engine.networking.store.endpoints(network=network.id):
            record = call.engine.records.get(endpoint.container)
            addresses = {a.version: str(a) for a in endpoint.addresses}
            containers[endpoint.container] = {
                "Name": record.name if record else "",
                "EndpointID": endpoint.container,
                "MacAddress": endpoint.mac,
                "IPv4Address": addresses.get(4, ""),
                "IPv6Address": addresses.get(6, ""),
            }
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": rfc3339(network.created_ns),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": True,
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": None,
            "Config": [
                {"Subnet": str(s.prefix), "Gateway": str(s.gateway)} for s in network.subnets
            ],
        },
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": containers,
        "Options": dict(network.options),
        "Labels": dict(network.labels),
    }


ROUTES = (
    Route("GET", "/networks", _list),
    Route("GET", "/networks/{id}", _inspect),
)
