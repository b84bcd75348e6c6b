"""A container's place in a network. Source: Docker Engine API v1.47, EndpointSettings."""

from __future__ import annotations

from typing import Any

from casemate.engine import sharing
from casemate.engine.engine import Engine
from casemate.engine.naming import names_of
from casemate.engine.records import Attachment, Record
from casemate.network.model import Endpoint, Network
from casemate.network.request import DEFAULT


def all_of(engine: Engine, record: Record) -> dict[str, Any]:
    """Return the settings of each network that the container is on, or will be, by their names."""
    mode = sharing.network(record.fixed.host, record.fixed.config)
    if mode in ("none", sharing.HOST):
        return {mode: {**nowhere(), "NetworkID": engine.networking.store.network(mode).id}}
    places = engine.networking.places(record.id) if record.active else []
    now = {network.name: settings(network, place) for network, place in places}
    return {
        wanted.network: {**now.get(wanted.network, nowhere()), **_asked(record, wanted)}
        for wanted in record.fixed.attachments
    }


def _asked(record: Record, wanted: Attachment) -> dict[str, Any]:
    """Return what was asked of a place; a container on a network of a user's has names there."""
    chosen = {}
    for address in wanted.addresses:
        chosen["IPv6Address" if ":" in address else "IPv4Address"] = address
    found: dict[str, Any] = {"IPAMConfig": chosen or None}
    if wanted.network != DEFAULT:
        found["Aliases"] = list(wanted.aliases) or None
        found["DNSNames"] = list(names_of(record, wanted))
    return found


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
