"""A network as the API describes it. Source: Docker Engine API v1.47, Network."""

from __future__ import annotations

from typing import Any

from casemate.engine.clock import rfc3339
from casemate.engine.engine import Engine
from casemate.network.model import Network, Subnet


def described(engine: Engine, network: Network, *, whole: bool) -> dict[str, Any]:
    """Return the network; the ``whole`` of it names the containers in it."""
    containers: dict[str, Any] = {}
    if whole:
        for endpoint in engine.networking.store.endpoints(network=network.id):
            record = engine.records.get(endpoint.container)
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
        "EnableIPv4": network.ipv4,
        "EnableIPv6": network.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": None,
            "Config": [_subnet(subnet) for subnet in network.subnets],
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


def _subnet(subnet: Subnet) -> dict[str, Any]:
    found: dict[str, Any] = {"Subnet": str(subnet.prefix)}
    if subnet.pool != subnet.prefix:
        found["IPRange"] = str(subnet.pool)
    found["Gateway"] = str(subnet.gateway)
    if subnet.reserved:
        found["AuxiliaryAddresses"] = {n: str(a) for n, a in subnet.reserved.items()}
    return found
