"""Networks of containers: joined before the start, left after the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from casemate.engine import publishing
from casemate.engine.publishing import Joined
from casemate.engine.records import Attachment, Record
from casemate.engine.rulewatch import RuleWatch
from casemate.engine.threads import in_thread
from casemate.errors import InvalidArgument, NotFound
from casemate.linux import nftables
from casemate.linux.netlink import Socket
from casemate.network import binding, bridge, inside, options
from casemate.network.firewall import Firewall
from casemate.network.model import Endpoint, Network, parse_address
from casemate.network.networks import Networks
from casemate.network.request import DEFAULT
from casemate.network.store import Store


class Networking:
    """The networks of an engine. ``name`` is its own, in bridges and firewall tables.

    Nothing of the host is touched before the first container is on a network with a bridge.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self._name = name
        self._made: Networks | None = None
        self._host: Socket | None = None
        self._watch: RuleWatch | None = None

    # ---- before and after ----

    def join(self, record: Record, taken: binding.Ours) -> Joined:
        """Give the container its places in its networks and bind its ports; nothing is made yet.

        Without a network of its own it publishes nothing, as with Docker.
        """
        if not record.fixed.attachments:
            return Joined()
        with contextlib.ExitStack() as undo:
            # Places of the last run that could not be given back: the disk was full, say.
            self.leave(record)
            undo.callback(self.leave, record)
            networks = [self.bridged(a.network) for a in record.fixed.attachments]
            endpoints = [
                self.reserve(network, record.id, attachment)
                for network, attachment in zip(networks, record.fixed.attachments, strict=True)
            ]
            published = publishing.bind(record, taken, options.parse(networks[0].options).binding)
            undo.pop_all()
        return Joined(tuple(endpoints), published)

    def reserve(self, network: Network, container: str, attachment: Attachment) -> Endpoint:
        """Give a container a place in ``network``; nothing is made yet. Raises Error."""
        return self.store.connect(
            network,
            container,
            fixed=[parse_address(text) for text in attachment.addresses],
            mac=attachment.mac or None,
            aliases=attachment.aliases,
        )

    def bridged(self, name: str) -> Network:
        """Return the network that a container can have a place in. Raises Error."""
        network = self.find(name)
        if network.driver != "bridge":
            raise InvalidArgument(f"network {network.name} is asked for by its name, not by its id")
        return network

    async def attach(self, endpoints: Sequence[Endpoint], pid: int, netlink: int) -> None:
        """Connect the network namespace of ``pid``, in which ``netlink`` was opened, and close
        it.

        Beside the event loop: the kernel has one lock for all interfaces, and keeps it for long
        while it takes namespaces down.
        """
        namespace = Socket(fd=netlink)
        try:
            networks = self.networks()
        except BaseException:
            namespace.close()
            raise
        await in_thread(lambda: _attached(networks, endpoints, pid, namespace))

    def leave(self, record: Record) -> None:
        """Give the container's addresses back; the interfaces go with its network namespace."""
        for endpoint in self.store.endpoints(container=record.id):
            self.store.disconnect(record.id, endpoint.network)

    def known(self) -> list[Network]:
        """Return all networks; the default one is there before anybody uses it."""
        self.find(DEFAULT)
        return self.store.networks()

    def find(self, text: str) -> Network:
        """Return the network that ``text`` names. Raises NotFound."""
        if text == DEFAULT:
            return self.networks().default(f"{self._name}0"[:15])
        try:
            return self.store.network(text)
        except NotFound:
            raise NotFound(f"network {text} not found") from None

    def speaks_ipv6(self, record: Record) -> bool:
        """Tell whether the container is to have an IPv6 address; the default network gives none."""
        names = (attachment.network for attachment in record.fixed.attachments)
        return any(self.find(name).ipv6 for name in names if name != DEFAULT)

    def places(self, id_: str) -> list[tuple[Network, Endpoint]]:
        """Return where the container is at present."""
        found = self.store.endpoints(container=id_)
        return [(self.store.network(endpoint.network), endpoint) for endpoint in found]

    # ---- the engine's start and end ----

    def recover(self, living: set[str]) -> None:
        """Make the networks of living containers again, and forget the places of dead ones."""
        for endpoint in self.store.endpoints():
            if endpoint.container not in living:
                self.store.disconnect(endpoint.container, endpoint.network)
        if self.store.endpoints():
            self.networks()

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
        if self._watch:
            self._watch.close()
        if self._host:
            self._host.close()

    def networks(self) -> Networks:
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
            self._watch = RuleWatch(made.restore_rules)
        return self._made


def _attached(
    networks: Networks, endpoints: Sequence[Endpoint], pid: int, namespace: Socket
) -> None:
    with namespace:
        networks.attach(endpoints, pid, namespace)


def early_sysctls(*, ipv6: bool) -> dict[str, str]:
    """Return what a network namespace is told before its first interface is there."""
    settings = inside.sysctls(ipv6=ipv6)
    return settings if os.path.isdir("/proc/sys/net/ipv6") else {}
