"""Published ports: bound before the start, kept by the container's relay."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from casemate.engine.model import Config, HostConfig
from casemate.engine.records import Port, Record
from casemate.network import binding, ports
from casemate.network.binding import Published
from casemate.network.model import Address, Endpoint
from casemate.network.ports import Publication
from casemate.supervise.protocol import RelayTarget

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}


class Joined(NamedTuple):
    """A container's places in networks before it starts, and the host's ports that are bound."""

    endpoints: tuple[Endpoint, ...] = ()
    published: tuple[Published, ...] = ()

    def records(self) -> tuple[Port, ...]:
        """Return the published ports as they are written down."""
        return tuple(
            Port(p.publication.container_port, p.publication.protocol, p.address, p.port)
            for p in self.published
        )

    def relay(self) -> tuple[list[int], list[RelayTarget]]:
        """Return the bound sockets, and where each one leads."""
        address = target(self.endpoints)
        assert address
        targets = [
            RelayTarget(
                _FAMILIES[address.version],
                _PROTOCOLS[p.publication.protocol],
                p.publication.container_port,
                address.packed,
            )
            for p in self.published
        ]
        return [p.socket.fileno() for p in self.published], targets

    def close(self) -> None:
        """Close this process's copies of the bound sockets."""
        for published in self.published:
            published.socket.close()


def target(endpoints: Sequence[Endpoint]) -> Address | None:
    """Return the address that published ports lead to.

    It is not in an internal network if there is another: from there no answer leads out.
    """
    outer = [endpoint for endpoint in endpoints if endpoint.gateways]
    for endpoint in (*outer, *endpoints):
        return endpoint.addresses[0].ip
    return None


def again(record: Record, endpoints: Sequence[Endpoint]) -> Joined:
    """Bind the ports that the container had, with the same numbers, to lead to ``endpoints``."""
    state = msgspec.structs.replace(record.state, last_ports=record.state.ports)
    before = msgspec.structs.replace(record, state=state)
    return Joined(tuple(endpoints), bind(before, lambda *_: False, None))


def bind(record: Record, taken: binding.Ours, usual: Address | None) -> tuple[Published, ...]:
    """Bind what the container publishes, with the numbers of its last run where it had any.

    Where no address is asked for it is the ``usual`` one of the network. Raises Conflict for a
    port that is in use.
    """
    asked = _publications(record.fixed.config, record.fixed.host)
    if usual:
        asked = (p if p.address else p._replace(address=usual) for p in asked)
    return tuple(binding.bind(asked, taken, _before(record)))


def check(config: Config, host: HostConfig) -> None:
    """Refuse at the creation what cannot be published. Raises InvalidArgument."""
    for _ in _publications(config, host):
        pass
    for text in config.exposed_ports or {}:
        ports.exposed(text)


def _publications(config: Config, host: HostConfig) -> Iterator[Publication]:
    bound: set[tuple[int, str]] = set()
    for exposed, bindings in (host.port_bindings or {}).items():
        for one in bindings or ():
            for publication in ports.binding(exposed, one.host_ip, one.host_port):
                bound.add((publication.container_port, publication.protocol))
                yield publication
    if host.publish_all_ports:
        for text in config.exposed_ports or {}:
            for publication in ports.exposed(text):
                if (publication.container_port, publication.protocol) not in bound:
                    yield publication


def _before(record: Record) -> dict[tuple[int, str, str], int]:
    """Return the numbers that the last run's ports had on the host."""
    return {
        (p.container_port, p.protocol, p.host_address): p.host_port for p in record.state.last_ports
    }
