"""A container's place in a network. Source: Docker Engine API v1.47, EndpointSettings."""

from __future__ import annotations

from typing import Any

from casemate.network.model import Endpoint, Network


def nowhere() -> dict[str, Any]:
    """Return the settings of a container that is in no network."""
    return {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": "",
        "DriverOpts": None,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }


def settings(network: Network, endpoint: Endpoint) -> dict[str, Any]:
    """Return where ``endpoint`` is in ``network``."""
    found = nowhere()
    found |= {
        "NetworkID": network.id,
        "EndpointID": endpoint.container,
        "MacAddress": endpoint.mac,
    }
    for address in endpoint.addresses:
        if address.version == 4:
            found["IPAddress"] = str(address.ip)
            found["IPPrefixLen"] = address.network.prefixlen
        else:
            found["GlobalIPv6Address"] = str(address.ip)
            found["GlobalIPv6PrefixLen"] = address.network.prefixlen
    for gateway in endpoint.gateways:
        found["Gateway" if gateway.version == 4 else "IPv6Gateway"] = str(gateway)
    return found
