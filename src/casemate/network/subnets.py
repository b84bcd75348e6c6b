"""Subnets: what a user may ask for, and which one to take when nobody asked.

Source of the candidates: Docker's default address pools.
"""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping

from casemate.errors import InvalidArgument, Unavailable
from casemate.linux import rtnetlink
from casemate.linux.netlink import Socket
from casemate.network.model import Address, Prefix, Subnet, parse_address

# The shortest and the longest prefix, by IP version: room for a gateway and one container, and
# not more than anybody means.
_LENGTHS = {4: (8, 30), 6: (16, 126)}
_PREFIX = re.compile(r"[0-9a-fA-F.:]{2,45}/[0-9]{1,3}")
_ULA_ATTEMPTS = 256


def parse(
    prefix: str,
    *,
    gateway: str | None = None,
    pool: str | None = None,
    reserved: Mapping[str, str] | None = None,
) -> Subnet:
    """Return a subnet as a user describes it, or raise InvalidArgument.

    Without ``gateway`` it is the first address of ``prefix``; without ``pool`` that is all of it.
    """
    whole = _prefix("subnet", prefix)
    shortest, longest = _LENGTHS[whole.version]
    if not shortest <= whole.prefixlen <= longest:
        raise InvalidArgument(
            f"invalid subnet {prefix!r}: the length must be /{shortest} to /{longest}"
        )
    if whole.is_multicast or whole.is_loopback or whole.is_link_local or whole.is_unspecified:
        raise InvalidArgument(f"invalid subnet {prefix!r}: not a range for hosts")
    part = _prefix("ip range", pool) if pool else whole
    if not _inside(part, whole):
        raise InvalidArgument(f"invalid ip range {pool!r}: not inside of the subnet {whole}")
    door = parse_address(gateway) if gateway else whole.network_address + 1
    names = {name: parse_address(text) for name, text in (reserved or {}).items()}
    for address in (door, *names.values()):
        _require_host(address, whole)
    return Subnet(whole, door, part, names)


def edges(prefix: Prefix) -> tuple[Address, ...]:
    """Return the addresses of ``prefix`` that no host may have."""
    if prefix.version == 4:
        return (prefix.network_address, prefix.broadcast_address)
    return (prefix.network_address,)  # RFC 4291, 2.6.1: the routers' anycast address


def choose_ipv4(taken: Iterable[Prefix]) -> Subnet:
    """Return the first candidate that overlaps with nothing in ``taken``.

    Raises Unavailable when all are in use.
    """
    used = [prefix for prefix in taken if prefix.version == 4]
    for candidate in _candidates():
        if not any(candidate.overlaps(prefix) for prefix in used):
            return parse(str(candidate))
    raise Unavailable(
        "cannot choose a subnet: all of 172.17.0.0/16 to 172.31.0.0/16 and 192.168.0.0/16 overlap"
        " with routes of the host or with other networks",
        hint="name a free subnet with --subnet, or remove networks that are not used",
    )


def choose_ipv6(seed: str, taken: Iterable[Prefix]) -> Subnet:
    """Return a /64 of the unique local addresses that only depends on ``seed``, if it is free.

    Source: RFC 4193, section 3.2.
    """
    used = [prefix for prefix in taken if prefix.version == 6]
    for attempt in range(_ULA_ATTEMPTS):
        digest = hashlib.sha256(f"{seed} {attempt}".encode()).digest()
        candidate = ipaddress.IPv6Network((b"\xfd" + digest[:5] + bytes(10), 64))
        if not any(candidate.overlaps(prefix) for prefix in used):
            return parse(str(candidate))
    raise Unavailable(
        "cannot choose an IPv6 subnet: every attempt overlaps with a route of the host",
        hint="name a free subnet with --subnet",
    )


def of_host(netlink: Socket) -> set[Prefix]:
    """Return the prefixes that the host has addresses in or routes to, but for the default."""
    found: set[Prefix] = {one.interface.network for one in rtnetlink.addresses(netlink)}
    found.update(route.destination for route in rtnetlink.routes(netlink))
    return {prefix for prefix in found if prefix.prefixlen > 0}


def _candidates() -> Iterator[ipaddress.IPv4Network]:
    large = (ipaddress.IPv4Network(f"172.{number}.0.0/16") for number in range(17, 32))
    small = ipaddress.IPv4Network("192.168.0.0/16").subnets(new_prefix=20)
    return itertools.chain(large, small)


def _prefix(what: str, text: str) -> Prefix:
    if not _PREFIX.fullmatch(text):
        raise InvalidArgument(f"invalid {what} {text[:160]!r}: an address and a length, as in /24")
    try:
        loose = ipaddress.ip_interface(text).network
    except ValueError as error:
        raise InvalidArgument(f"invalid {what} {text[:160]!r}") from error
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid {what} {text!r}: it should be {loose}") from error


def _inside(part: Prefix, whole: Prefix) -> bool:
    if isinstance(part, ipaddress.IPv4Network) and isinstance(whole, ipaddress.IPv4Network):
        return part.subnet_of(whole)
    if isinstance(part, ipaddress.IPv6Network) and isinstance(whole, ipaddress.IPv6Network):
        return part.subnet_of(whole)
    return False


def _require_host(address: Address, prefix: Prefix) -> None:
    if address not in prefix or address in edges(prefix):
        raise InvalidArgument(f"invalid address {address}: not a host address of {prefix}")
