"""What a network is and what a container's attachment to it is, as values.

Source for the words: Docker Engine API v1.47, Network and EndpointSettings.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from casemate.errors import InvalidArgument

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_INTERFACE = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_ALIAS = re.compile(r"[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9_])?")
# Names that are no interface of one's own: lo exists, the others are words of sysctl.
_NOT_AN_INTERFACE = ("lo", "all", "default")
MTU_MIN, MTU_MAX = 68, 65535


@dataclass(frozen=True, slots=True)
class Subnet:
    """A prefix of a network: where its addresses come from.

    ``pool`` is the part of ``prefix`` from which addresses are given; ``reserved`` (by purpose)
    are never given. ``gateway`` is the host's own address, the container's way out.
    """

    prefix: Prefix
    gateway: Address
    pool: Prefix
    reserved: Mapping[str, Address] = field(default_factory=dict)

    @property
    def gateway_interface(self) -> Interface:
        """The gateway with the length of the prefix."""
        return ipaddress.ip_interface(f"{self.gateway}/{self.prefix.prefixlen}")


@dataclass(frozen=True, slots=True)
class Network:
    """A network: containers on it reach each other, and the outside unless ``internal``.

    ``driver`` is ``bridge``, ``host`` or ``null``; ``bridge`` is the host's interface, empty when
    the driver has none. ``options`` are the driver's as the user wrote them. ``created_ns`` is
    nanoseconds since 1970.
    """

    id: str
    name: str
    driver: str
    subnets: tuple[Subnet, ...] = ()
    internal: bool = False
    mtu: int = 0
    bridge: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    created_ns: int = 0

    @property
    def ipv4(self) -> bool:
        """Whether the network has IPv4 addresses."""
        return any(subnet.prefix.version == 4 for subnet in self.subnets)

    @property
    def ipv6(self) -> bool:
        """Whether the network has IPv6 addresses."""
        return any(subnet.prefix.version == 6 for subnet in self.subnets)

    @property
    def mac(self) -> str:
        """The MAC address of the host's side, which also says that the bridge is ours."""
        return derived_mac(f"network {self.id}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One container's place on one network.

    ``interface`` is its name inside the container. ``gateways`` lead out, at most one for each IP
    version; there are none on an internal network. ``aliases`` are names for other containers.
    """

    container: str
    network: str
    interface: str
    mac: str
    addresses: tuple[Interface, ...] = ()
    gateways: tuple[Address, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def ipv6(self) -> bool:
        """Whether the container has an IPv6 address here."""
        return any(address.version == 6 for address in self.addresses)


# The two networks that need nothing: the host's own stack, and none at all.
HOST: Final = Network(hashlib.sha256(b"casemate network host").hexdigest(), "host", "host")
NONE: Final = Network(hashlib.sha256(b"casemate network none").hexdigest(), "none", "null")


def derived_mac(seed: str) -> str:
    """Return a locally administered unicast MAC address that only depends on ``seed``."""
    return "02:" + hashlib.sha256(seed.encode()).digest()[:5].hex(":")


def mac_of(address: Address) -> str:
    """Return the MAC address that goes with a container's address.

    One that follows from the address keeps the neighbours' caches right when the next container
    gets the same address. For IPv4 it is Docker's: 02:42 and the four bytes.
    """
    if address.version == 4:
        return "02:42:" + address.packed.hex(":")
    return derived_mac(f"address {address}")


def parse_name(text: str) -> str:
    """Return ``text`` when it is a valid name of a network, or raise InvalidArgument."""
    if not _NAME.fullmatch(text):
        raise InvalidArgument(
            f"invalid network name {text[:160]!r}: at most 128 letters, digits, '_', '.', '-',"
            " beginning with a letter or a digit"
        )
    return text


def parse_interface(text: str) -> str:
    """Return ``text`` when it is a valid name of an interface, or raise InvalidArgument."""
    if not _INTERFACE.fullmatch(text) or text in _NOT_AN_INTERFACE:
        raise InvalidArgument(
            f"invalid interface name {text[:160]!r}: at most 15 letters, digits, '_', '.', '-';"
            f" not {', '.join(_NOT_AN_INTERFACE)}"
        )
    return text


def parse_mac(text: str) -> str:
    """Return a unicast MAC address in lower case, or raise InvalidArgument."""
    mac = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise InvalidArgument(
            f"invalid MAC address {text[:160]!r}: six bytes in hexadecimal, not a group address"
        )
    return mac


def parse_alias(text: str) -> str:
    """Return ``text`` when it may be a host name on a network, or raise InvalidArgument."""
    if not _ALIAS.fullmatch(text):
        raise InvalidArgument(
            f"invalid network alias {text[:160]!r}: a host name of at most 253 letters, digits,"
            " '_', '.', '-'"
        )
    return text


def parse_mtu(text: str) -> int:
    """Return the MTU in bytes, or raise InvalidArgument."""
    mtu = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1
    if not MTU_MIN <= mtu <= MTU_MAX:
        raise InvalidArgument(f"invalid MTU {text[:160]!r}: a number from {MTU_MIN} to {MTU_MAX}")
    return mtu


def parse_address(text: str) -> Address:
    """Return the IP address in ``text``, without a zone, or raise InvalidArgument."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid IP address {text[:160]!r}") from error
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise InvalidArgument(f"invalid IP address {text[:160]!r}: a zone has no meaning here")
    return address
