"""What is done inside a container's network namespace, through a netlink socket opened there.

The engine never enters the namespace: the process that makes it opens the socket and passes it
out before the workload runs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from casemate.linux import rtnetlink
from casemate.linux.netlink import Socket
from casemate.network.model import Address, Endpoint, Prefix

_DEFAULT: dict[int, Prefix] = {
    4: ipaddress.IPv4Network("0.0.0.0/0"),
    6: ipaddress.IPv6Network("::/0"),
}


def loopback_up(inside: Socket) -> None:
    """Bring the loopback interface up; every namespace needs it, whatever its networks."""
    inside.execute(rtnetlink.set_up(rtnetlink.LOOPBACK))


def ways_out(endpoints: Iterable[Endpoint]) -> dict[str, tuple[Address, ...]]:
    """Return, by network, the gateways that become default routes of a container.

    For each IP version it is the first endpoint's that has one.
    """
    chosen: dict[str, tuple[Address, ...]] = {}
    versions: set[int] = set()
    for endpoint in endpoints:
        found = tuple(one for one in endpoint.gateways if one.version not in versions)
        versions.update(one.version for one in found)
        chosen[endpoint.network] = found
    return chosen


def configure(inside: Socket, endpoint: Endpoint, gateways: Iterable[Address]) -> None:
    """Give the endpoint's interface its addresses, bring it up and route over ``gateways``.

    Raises OSError; the interface goes away with the caller's undoing of its creation.
    """
    index = rtnetlink.index_of(inside, endpoint.interface)
    batch = [] if endpoint.ipv6 else [rtnetlink.no_link_local(index)]
    batch += [rtnetlink.add_address(index, address) for address in endpoint.addresses]
    batch.append(rtnetlink.set_up(index))
    batch += [rtnetlink.add_route(index, _DEFAULT[one.version], one) for one in gateways]
    inside.execute(*batch)


def lead_out(inside: Socket, before: Sequence[Endpoint], now: Sequence[Endpoint]) -> None:
    """Give default routes to a namespace that had those of ``before`` and lost some.

    Raises OSError.
    """
    had, ways = ways_out(before), ways_out(now)
    for endpoint in now:
        new = [one for one in ways[endpoint.network] if one not in had[endpoint.network]]
        if new:
            index = rtnetlink.index_of(inside, endpoint.interface)
            inside.execute(*(rtnetlink.add_route(index, _DEFAULT[one.version], one) for one in new))


def sysctls(*, ipv6: bool) -> dict[str, str]:
    """Return the settings that a namespace needs before its first interface is attached.

    No container takes advice from routers that other containers may play (CVE-2020-13401), and
    one that has no IPv6 address gets none by itself (CVE-2024-32473); on loopback ::1 stays, for
    it cannot be reached from anywhere.
    """
    settings = {"net.ipv6.conf.default.accept_ra": "0"}
    if not ipv6:
        settings["net.ipv6.conf.default.disable_ipv6"] = "1"
    return settings
