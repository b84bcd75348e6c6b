"""Networks of containers: joined before the start, left after the end."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import NamedTuple

from casemate.engine.model import Config, HostConfig
from casemate.engine.records import Port, Record
from casemate.errors import InvalidArgument, NotFound, Unsupported
from casemate.linux import nftables
from casemate.linux.netlink import Socket
from casemate.network import binding, bridge, files, inside, ports, subnets
from casemate.network.binding import Published
from casemate.network.firewall import Firewall
from casemate.network.model import Endpoint, Network
from casemate.network.ports import Publication
from casemate.network.store import Store
from casemate.supervise.protocol import RelayTarget

DEFAULT = "bridge"
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_RESOLVED = "/run/systemd/resolve/resolv.conf"
_MAX_RESOLVER = 64 << 10


class Joined(NamedTuple):
    """A container's place in its network before it starts, and the host's ports that are bound."""

    endpoint: Endpoint | None = None
    published: tuple[Published, ...] = ()

    def records(self) -> tuple[Port, ...]:
        """Return the published ports as they are written down."""
        return tuple(
            Port(p.publication.container_port, p.publication.protocol, p.address, p.port)
            for p in self.published
        )

    def relay(self) -> tuple[list[int], list[RelayTarget]]:
        """Return the bound sockets, and where each one leads."""
        assert self.endpoint
        address = self.endpoint.addresses[0].ip
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


class Networking:
    """The networks of an engine. ``name`` is its own, in bridges and firewall tables."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self._name = name
        self._host: Socket | None = None
        self._bridges: bridge.Bridges | None = None
        self._ensured: set[str] = set()

    # ---- before and after ----

    def join(self, record: Record, taken: binding.Ours) -> Joined:
        """Give the container a place in its network and bind its ports; nothing is made yet."""
        mode = mode_of(record.fixed.host, record.fixed.config)
        publications = _publications(record)
        if mode in ("none", "host"):
            return Joined()  # Docker discards published ports here as well
        network = self._network(mode)
        self._ensure(network)
        endpoint = self.store.connect(network, record.id)
        try:
            published = binding.bind(publications, taken)
        except BaseException:
            self.store.disconnect(record.id, network.id)
            raise
        return Joined(endpoint, tuple(published))

    def attach(self, endpoint: Endpoint, pid: int, netlink: int) -> None:
        """Connect the network namespace of ``pid``, in which ``netlink`` was opened, and close
        it.
        """
        assert self._bridges
        network = self.store.network(endpoint.network)
        with Socket(fd=netlink) as namespace:
            self._bridges.attach(network, endpoint, pid, namespace, endpoint.gateways)

    def leave(self, record: Record) -> None:
        """Give the container's addresses back; the interface goes with its network namespace."""
        for endpoint in self.store.endpoints(container=record.id):
            self.store.disconnect(record.id, endpoint.network)

    def known(self) -> list[Network]:
        """Return all networks; the default one is there before anybody uses it."""
        self._network(DEFAULT)
        return self.store.networks()

    def find(self, text: str) -> Network:
        """Return the network that ``text`` names. Raises NotFound."""
        return self._network(text)

    def endpoint(self, id_: str) -> tuple[Network, Endpoint] | None:
        """Return where the container is at present."""
        for endpoint in self.store.endpoints(container=id_):
            return self.store.network(endpoint.network), endpoint
        return None

    # ---- files ----

    def files(self, record: Record, joined: Joined, hostname: str) -> dict[str, str]:
        """Return the contents of hosts, hostname and resolv.conf for the container."""
        config, host = record.fixed.config, record.fixed.host
        addresses = [a.ip for a in joined.endpoint.addresses] if joined.endpoint else []
        gateways = joined.endpoint.gateways if joined.endpoint else ()
        shares_host = host.network_mode == "host"
        content = files.parse_resolver(_host_resolver(direct=shares_host))
        if not shares_host:
            content = files.resolver(
                content,
                nameservers=host.dns or (),
                search=host.dns_search or (),
                options=host.dns_options or (),
            )
        return {
            "hosts": files.hosts(
                hostname,
                addresses,
                domain=config.domainname,
                extra=[files.parse_extra_host(text) for text in host.extra_hosts or ()],
                gateways=gateways,
                ipv6=shares_host or any(a.version == 6 for a in addresses),
            ),
            "hostname": files.hostname(hostname),
            "resolv.conf": files.resolv_conf(content),
        }

    # ---- the engine's start ----

    def reconcile(self, living: set[str]) -> None:
        """Make networks that containers are on again, and forget the places of dead containers."""
        for endpoint in self.store.endpoints():
            if endpoint.container not in living:
                self.store.disconnect(endpoint.container, endpoint.network)
        used = {endpoint.network for endpoint in self.store.endpoints()}
        present = [n for n in self.store.networks() if n.bridge]
        for network in present:
            if network.id in used:
                self._ensure(network)
        if self._bridges:
            ensured = [n for n in present if n.id in self._ensured]
            self._bridges.reconcile(ensured, self.store.endpoints())

    def check(self, living: set[str]) -> list[str]:
        """Return what is wrong with addresses and rules."""
        problems = [
            f"container {e.container[:12]} does not run but holds {e.addresses[0]}"
            for e in self.store.endpoints()
            if e.container not in living and e.addresses
        ]
        if self._ensured:
            firewall = Firewall(nftables.connect(), self._name)
            problems += firewall.verify([n for n in self.store.networks() if n.bridge])
        return problems

    def close(self) -> None:
        """Close the socket; bridges, rules and containers' places stay."""
        if self._host:
            self._host.close()

    # ---- networks ----

    def _network(self, mode: str) -> Network:
        try:
            return self.store.network(mode)
        except NotFound:
            if mode != DEFAULT:
                raise NotFound(f"network {mode} not found") from None
        return self._make_default()

    def _make_default(self) -> Network:
        host = self._socket()
        taken = subnets.of_host(host)
        network = Network(
            id=os.urandom(32).hex(),
            name=DEFAULT,
            driver="bridge",
            subnets=(subnets.choose_ipv4(taken),),
            mtu=bridge.mtu_of_default_route(host),
            bridge=f"{self._name}0"[:15],
        )
        self.store.add(network)
        return network

    def _ensure(self, network: Network) -> None:
        """Have the bridge and the rules in the kernel, once in the engine's life."""
        if network.id in self._ensured:
            return
        if not self._bridges:
            self._bridges = bridge.Bridges(self._socket(), self._name)
        self._bridges.ensure(network)
        self._ensured.add(network.id)
        firewall = Firewall(nftables.connect(), self._name)
        firewall.apply([n for n in self.store.networks() if n.bridge])

    def _socket(self) -> Socket:
        if not self._host:
            self._host = Socket()
        return self._host


def mode_of(host: HostConfig, config: Config) -> str:
    """Return the network's name: ``none``, ``host``, or that of a network with a driver."""
    mode = host.network_mode
    if config.network_disabled:
        return "none"
    if mode in ("", "default", DEFAULT):
        return DEFAULT
    if mode.startswith("container:"):
        raise Unsupported(f"--network {mode[:80]} is not supported yet")
    return mode


def early_sysctls() -> dict[str, str]:
    """Return what a network namespace is told before its first interface is there."""
    settings = inside.sysctls(())
    return settings if os.path.isdir("/proc/sys/net/ipv6") else {}


def _publications(record: Record) -> Iterator[Publication]:
    host, config = record.fixed.host, record.fixed.config
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


def _host_resolver(*, direct: bool) -> str:
    """Return the host's resolv.conf, or the one behind systemd-resolved's local stub."""
    text = _read("/etc/resolv.conf")
    if not direct and files.behind_systemd(files.parse_resolver(text)):
        return _read(_RESOLVED) or text
    return text


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_RESOLVER)
    except FileNotFoundError:
        return ""


def check(record_host: HostConfig, config: Config) -> None:
    """Refuse at the creation what a start could not do. Raises InvalidArgument, Unsupported."""
    mode_of(record_host, config)
    for exposed, bindings in (record_host.port_bindings or {}).items():
        for one in bindings or ():
            ports.binding(exposed, one.host_ip, one.host_port)
    for text in config.exposed_ports or {}:
        ports.exposed(text)
    for text in record_host.extra_hosts or ():
        files.parse_extra_host(text)
    if config.hostname:
        files.parse_hostname(config.hostname)
    if config.domainname and len(config.domainname) > 255:
        raise InvalidArgument(f"invalid domain name {config.domainname[:160]!r}")
