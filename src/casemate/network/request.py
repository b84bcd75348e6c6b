"""From what a user asks for to a network: names checked, subnets and sizes chosen."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from casemate.errors import Conflict, InvalidArgument, PermissionDenied, Unsupported
from casemate.linux import rtnetlink
from casemate.linux.netlink import Socket
from casemate.network import options, subnets
from casemate.network.bridge import mtu_of_default_route
from casemate.network.model import HOST, NONE, Network, Prefix, Subnet, parse_name

# The names that say how a container is connected, and so can name no network of a user's.
DEFAULT = "bridge"
_RESERVED = (DEFAULT, "host", "none", "default", "container")
_LABELS_MAX = 1024


@dataclass(frozen=True, slots=True)
class NetworkRequest:
    """What a user asks for; a subnet for an IP version that has none is chosen."""

    name: str
    driver: str = "bridge"
    subnets: Sequence[Subnet] = ()
    internal: bool = False
    ipv4: bool = True
    ipv6: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)


def is_predefined(network: Network) -> bool:
    """Tell whether a network is there by itself: nobody makes it, and nobody can remove it."""
    return network.name == DEFAULT or network in (HOST, NONE)


def check(request: NetworkRequest) -> None:
    """Raise an Error when no network can be made of ``request``, whatever the host."""
    parse_name(request.name)
    if request.name in _RESERVED:
        raise PermissionDenied(f"cannot create network {request.name}: the name is reserved")
    if request.driver != "bridge":
        raise Unsupported(
            f"cannot create network {request.name}: there is no driver {request.driver[:160]!r}",
            hint="the driver is bridge",
        )
    if len(request.labels) > _LABELS_MAX:
        raise InvalidArgument(
            f"cannot create network {request.name}: more than {_LABELS_MAX} labels"
        )
    asked = {4: request.ipv4, 6: request.ipv6}
    if not any(asked.values()):
        raise InvalidArgument(f"cannot create network {request.name}: neither IPv4 nor IPv6")
    versions = [subnet.prefix.version for subnet in request.subnets]
    for version in versions:
        if not asked[version]:
            raise InvalidArgument(
                f"cannot create network {request.name}: it has an IPv{version} subnet, but"
                f" IPv{version} is not enabled",
                hint="add --ipv6" if version == 6 else None,
            )
        if versions.count(version) > 1:
            raise InvalidArgument(
                f"cannot create network {request.name}: more than one IPv{version} subnet"
            )


def design(request: NetworkRequest, host: Socket, others: Sequence[Network]) -> Network:
    """Return the network that ``request`` becomes on this host, beside ``others``.

    Raises an Error of ``options.parse`` or ``subnets``, Conflict for a subnet in which the host
    has an address, or OSError.
    """
    meant = options.parse(request.options)
    identity = os.urandom(32).hex()
    return Network(
        id=identity,
        name=request.name,
        driver=request.driver,
        subnets=_subnets(request, identity, host, others),
        internal=request.internal,
        mtu=meant.mtu or mtu_of_default_route(host),
        bridge=meant.bridge or f"br-{identity[:12]}",
        labels=dict(request.labels),
        options=dict(request.options),
        created_ns=time.time_ns(),
    )


def _subnets(
    request: NetworkRequest, identity: str, host: Socket, others: Sequence[Network]
) -> tuple[Subnet, ...]:
    for subnet in request.subnets:
        _require_foreign(request.name, subnet.prefix, host)
    given = {subnet.prefix.version: subnet for subnet in request.subnets}
    taken = {subnet.prefix for other in others for subnet in other.subnets}
    taken |= subnets.of_host(host)
    if request.ipv4 and 4 not in given:
        given[4] = subnets.choose_ipv4(taken)
    if request.ipv6 and 6 not in given:
        given[6] = subnets.choose_ipv6(identity, taken)
    return tuple(given[version] for version in sorted(given))


def _require_foreign(name: str, prefix: Prefix, host: Socket) -> None:
    for one in rtnetlink.addresses(host):
        if one.interface.ip in prefix:
            raise Conflict(
                f"cannot create network {name}: the host itself has the address"
                f" {one.interface.ip} in {prefix}"
            )
