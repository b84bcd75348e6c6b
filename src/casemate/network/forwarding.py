"""Forwarding between interfaces, which the host must do for its bridges.

The setting is the host's as a whole: from then on it routes between its other interfaces, too,
as far as its firewall lets it. ``findings`` says so.
"""

from __future__ import annotations

from casemate.errors import FailedPrecondition
from casemate.linux import rtnetlink, sysctl
from casemate.linux.netlink import Socket

IPV4 = "net/ipv4/ip_forward"
IPV6 = "net/ipv6/conf/all/forwarding"


def enable_ipv4() -> None:
    """Let the host forward IPv4; raises OSError, or FailedPrecondition when it does not hold."""
    _enable(IPV4)


def enable_ipv6(host: Socket) -> None:
    """Let the host forward IPv6 without losing the default route that it learned from a router.

    A forwarding host ignores router advertisements unless accept_ra is 2. Source:
    Documentation/networking/ip-sysctl, accept_ra.
    """
    if sysctl.read(IPV6) == "1":
        return
    for index in {r.ifindex for r in rtnetlink.routes(host) if r.protocol == rtnetlink.RTPROT_RA}:
        key = f"net/ipv6/conf/{rtnetlink.link(host, index).name}/accept_ra"
        if sysctl.read(key) == "1":
            sysctl.write(key, "2")
    _enable(IPV6)


def _enable(key: str) -> None:
    if sysctl.read(key) == "1":
        return
    sysctl.write(key, "1")
    if sysctl.read(key) != "1":
        raise FailedPrecondition(
            f"cannot turn on forwarding: {key.replace('/', '.')} stays 0",
            hint="find out what resets it, or use --network host or none",
        )
