"""Published ports as values: Docker's syntax, and what the Engine API says.

    [address:][host port or range:]container port or range[/protocol]

A missing host port, and 0, mean that the kernel chooses one. A range of host ports for a single
container port means any one of them. Source: docs.docker.com, docker container run, --publish.
"""

from __future__ import annotations

from typing import NamedTuple

from casemate.errors import InvalidArgument, Unsupported
from casemate.network.model import Address, parse_address

PORT_MAX = 65535
PROTOCOLS = ("tcp", "udp")


class Ports(NamedTuple):
    """A range of ports, both ends included."""

    first: int
    last: int

    def numbers(self) -> range:
        """Return the ports."""
        return range(self.first, self.last + 1)

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


EPHEMERAL = Ports(0, 0)


class Publication(NamedTuple):
    """One port of a container, and where it is to be found on the host.

    ``address`` None means every address of the host. ``host`` is the ports of which one is to be
    taken; ``EPHEMERAL`` leaves the choice to the kernel.
    """

    container_port: int
    protocol: str
    address: Address | None = None
    host: Ports = EPHEMERAL

    def __str__(self) -> str:
        return f"{self.container_port}/{self.protocol}"


def parse(text: str) -> list[Publication]:
    """Return what the publish option ``text`` asks for, a value for each container port.

    Raises InvalidArgument, or Unsupported for a protocol that cannot be published.
    """
    what = f"invalid published port {text[:160]!r}"
    address, rest = _address(what, text)
    host, _, exposed = rest.rpartition(":")
    return _publications(what, address, host, exposed)


def binding(exposed: str, address: str, host: str) -> list[Publication]:
    """Return what an entry of the API's PortBindings asks for.

    ``exposed`` is its key (``80/tcp``); ``address`` and ``host`` are HostIp and HostPort, either
    of which may be empty. Raises as ``parse`` does.
    """
    what = f"invalid port binding {f'{address}:{host}:{exposed}'[:160]!r}"
    return _publications(what, parse_address(address) if address else None, host, exposed)


def exposed(text: str) -> list[Publication]:
    """Return the ports of an EXPOSE or --expose option, to be published on ephemeral ports."""
    return _publications(f"invalid exposed port {text[:160]!r}", None, "", text)


def _address(what: str, text: str) -> tuple[Address | None, str]:
    """Split the address off; returns it, and host and container ports with their colon."""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]:")
        if not bracket:
            raise InvalidArgument(f"{what}: the bracket must end in ']:' before the ports")
        parsed = parse_address(address)
        if parsed.version != 6:
            raise InvalidArgument(f"{what}: brackets are for IPv6 addresses")
    else:
        colons = text.count(":")
        if colons < 2:
            return None, text
        if colons > 2:
            raise InvalidArgument(f"{what}: an IPv6 address needs brackets, as in [::1]:8080:80")
        address, _, rest = text.partition(":")
        if not address:
            return None, _two(what, rest)
        parsed = parse_address(address)
    return parsed, _two(what, rest)


def _two(what: str, rest: str) -> str:
    if rest.count(":") != 1:
        raise InvalidArgument(
            f"{what}: after the address come the host's port, maybe empty, and the container's"
        )
    return rest


def _publications(what: str, address: Address | None, host: str, exposed: str) -> list[Publication]:
    numbers, slash, protocol = exposed.partition("/")
    protocol = _protocol(what, protocol) if slash else "tcp"
    if not numbers:
        raise InvalidArgument(f"{what}: no container port")
    inner = _ports(what, numbers)
    if inner.first == 0:
        raise InvalidArgument(f"{what}: 0 is no container port")
    outer = _ports(what, host) if host else EPHEMERAL
    if outer.first == 0 and outer.last != 0:
        raise InvalidArgument(f"{what}: a range of host ports cannot begin with 0")
    wanted = inner.numbers()
    if len(wanted) == 1 or outer == EPHEMERAL:
        return [Publication(port, protocol, address, outer) for port in wanted]
    if len(wanted) != len(outer.numbers()):
        raise InvalidArgument(
            f"{what}: {len(wanted)} container ports but {len(outer.numbers())} host ports"
        )
    pairs = zip(wanted, outer.numbers(), strict=True)
    return [Publication(port, protocol, address, Ports(on, on)) for port, on in pairs]


def _protocol(what: str, text: str) -> str:
    protocol = text.lower()
    if protocol == "sctp":
        raise Unsupported(f"{what}: sctp ports cannot be published, only tcp and udp")
    if protocol not in PROTOCOLS:
        raise InvalidArgument(f"{what}: the protocol must be tcp or udp")
    return protocol


def _ports(what: str, text: str) -> Ports:
    low, dash, high = text.partition("-")
    first = _port(what, low)
    last = _port(what, high) if dash else first
    if last < first:
        raise InvalidArgument(f"{what}: the range {text} ends before it begins")
    return Ports(first, last)


def _port(what: str, text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else PORT_MAX + 1
    if port > PORT_MAX:
        raise InvalidArgument(f"{what}: {text[:40]!r} is not a port, 0 to {PORT_MAX}")
    return port
