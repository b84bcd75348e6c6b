"""Networks of containers: joined before the start, left after the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import NamedTuple

from casemate.engine import sharing
from casemate.engine.model import Config, HostConfig
from casemate.engine.records import Port, Record
from casemate.errors import AlreadyExists, Error, InvalidArgument, NotFound
from casemate.linux import nftables
from casemate.linux.netlink import Socket
from casemate.network import binding, bridge, files, inside, ports
from casemate.network.binding import Published
from casemate.network.firewall import Firewall
from casemate.network.model import Endpoint, Network
from casemate.network.networks import Networks
from casemate.network.ports import Publication
from casemate.network.store import Store
from casemate.supervise.protocol import RelayTarget

DEFAULT = "bridge"
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_RESOLVED = "/run/systemd/resolve/resolv.conf"
_MAX_RESOLVER = 64 << 10
_SETTLED_S = 0.2

_LOG = logging.getLogger("casemate.networking")


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
    """The networks of an engine. ``name`` is its own, in bridges and firewall tables.

    Nothing of the host is touched before the first container is on a network with a bridge.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self._name = name
        self._made: Networks | None = None
        self._host: Socket | None = None
        self._watch: socket.socket | None = None
        self._restoring: asyncio.TimerHandle | None = None

    # ---- before and after ----

    def join(self, record: Record, taken: binding.Ours) -> Joined:
        """Give the container a place in its network and bind its ports; nothing is made yet."""
        mode = sharing.network(record.fixed.host, record.fixed.config)
        publications = _publications(record)
        if not sharing.has_place(mode):
            return Joined()  # Docker discards published ports here as well
        network = self.find(mode)
        if network.driver != "bridge":
            raise InvalidArgument(f"network {network.name} is asked for by its name, not by its id")
        try:
            endpoint = self.store.connect(network, record.id)
        except AlreadyExists:
            # Its place of the last run could not be given back: the disk was full, say.
            self.leave(record)
            endpoint = self.store.connect(network, record.id)
        try:
            published = binding.bind(publications, taken, _before(record))
        except BaseException:
            self.store.disconnect(record.id, network.id)
            raise
        return Joined(endpoint, tuple(published))

    def attach(self, endpoint: Endpoint, pid: int, netlink: int) -> None:
        """Connect the network namespace of ``pid``, in which ``netlink`` was opened, and close
        it.
        """
        with Socket(fd=netlink) as namespace:
            self._networks().attach([endpoint], pid, namespace)

    def leave(self, record: Record) -> None:
        """Give the container's addresses back; the interface goes with its network namespace."""
        if not sharing.has_place(sharing.network(record.fixed.host, record.fixed.config)):
            return
        for endpoint in self.store.endpoints(container=record.id):
            self.store.disconnect(record.id, endpoint.network)

    def known(self) -> list[Network]:
        """Return all networks; the default one is there before anybody uses it."""
        self.find(DEFAULT)
        return self.store.networks()

    def find(self, text: str) -> Network:
        """Return the network that ``text`` names. Raises NotFound."""
        if text == DEFAULT:
            return self._networks().default(f"{self._name}0"[:15])
        try:
            return self.store.network(text)
        except NotFound:
            raise NotFound(f"network {text} not found") from None

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
        shares_host = sharing.network(host, config) == sharing.HOST
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

    # ---- the engine's start and end ----

    def recover(self, living: set[str]) -> None:
        """Make the networks of living containers again, and forget the places of dead ones."""
        for endpoint in self.store.endpoints():
            if endpoint.container not in living:
                self.store.disconnect(endpoint.container, endpoint.network)
        if self.store.endpoints():
            self._networks()

    def check(self, living: set[str]) -> list[str]:
        """Return what is wrong with addresses and rules."""
        problems = [
            f"container {e.container[:12]} does not run but holds {e.addresses[0]}"
            for e in self.store.endpoints()
            if e.container not in living and e.addresses
        ]
        return problems + (self._made.restore_rules() if self._made else [])

    def close(self) -> None:
        """Close the sockets; bridges, rules and containers' places stay."""
        if self._restoring:
            self._restoring.cancel()
        if self._watch:
            asyncio.get_running_loop().remove_reader(self._watch.fileno())
            self._watch.close()
        if self._host:
            self._host.close()

    def _networks(self) -> Networks:
        """Return the networks, made on the host once in the engine's life."""
        if self._made is None:
            tables = nftables.connect()
            self._host = self._host or Socket()
            made = Networks(
                self.store,
                self._host,
                bridge.Bridges(self._host, self._name),
                Firewall(tables, self._name),
            )
            made.recover({e.container for e in self.store.endpoints()})
            self._made = made
            self._watch_rules()
        return self._made

    def _watch_rules(self) -> None:
        """Put the rules back when somebody's firewall reload has swept them away."""
        self._watch = nftables.watch()
        asyncio.get_running_loop().add_reader(self._watch.fileno(), self._rules_changed)

    def _rules_changed(self) -> None:
        assert self._watch
        with contextlib.suppress(BlockingIOError, OSError):
            while self._watch.recv(1 << 16, socket.MSG_DONTWAIT):
                pass
        if self._restoring is None:
            # A reload is many changes: look once, when it has settled.
            loop = asyncio.get_running_loop()
            self._restoring = loop.call_later(_SETTLED_S, self._restore_rules)

    def _restore_rules(self) -> None:
        self._restoring = None
        if self._made:
            try:
                wrong = self._made.restore_rules()
            except Error as error:
                _LOG.error("cannot restore the firewall's rules: %s", error)
            else:
                for text in wrong:
                    _LOG.warning("restored the firewall's rules: %s", text)


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


def _before(record: Record) -> dict[tuple[int, str, str], int]:
    """Return the numbers that the last run's ports had on the host."""
    return {
        (p.container_port, p.protocol, p.host_address): p.host_port for p in record.state.last_ports
    }


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
    for exposed, bindings in (record_host.port_bindings or {}).items():
        for one in bindings or ():
            ports.binding(exposed, one.host_ip, one.host_port)
    for text in config.exposed_ports or {}:
        ports.exposed(text)
    for text in record_host.extra_hosts or ():
        try:
            files.parse_extra_host(text)
        except InvalidArgument as error:
            raise InvalidArgument(f"invalid extra host {text[:160]!r}: {error}") from error
    files.resolver(
        files.parse_resolver(""),
        nameservers=record_host.dns or (),
        search=record_host.dns_search or (),
        options=record_host.dns_options or (),
    )
    if config.hostname:
        files.parse_hostname(config.hostname)
    if config.domainname and len(config.domainname) > 255:
        raise InvalidArgument(f"invalid domain name {config.domainname[:160]!r}")
