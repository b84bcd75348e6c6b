"""What is known of hosts: names that stand for others, and which may speak without TLS."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

#: A reference's domain to the host that serves its registry.
SERVED_BY = {"docker.io": "registry-1.docker.io"}


def domain_of(netloc: str) -> str:
    """Return the domain of the references that the host ``netloc`` serves."""
    return next((domain for domain, host in SERVED_BY.items() if host == netloc), netloc)


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine: 127.0.0.0/8, ::1 or localhost."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class HostSet(NamedTuple):
    """Hosts named by ``host``, ``host:port`` or, for addresses, a network."""

    names: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def contains(self, host: str, port: int | None) -> bool:
        """Return whether ``host`` is in the set, at any port or at ``port``."""
        shown = f"[{host}]" if ":" in host else host
        if shown in self.names or (port is not None and f"{shown}:{port}" in self.names):
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.networks)
