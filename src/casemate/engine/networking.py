"""Networks of containers: joined before the start, left after the end."""

from __future__ import annotations

import os

from casemate.engine import publishing, sharing
from casemate.engine.publishing import Joined
from casemate.engine.records import Record
from casemate.engine.rulewatch import RuleWatch
from casemate.errors import AlreadyExists, InvalidArgument, NotFound
from casemate.linux import nftables
from casemate.linux.netlink import Socket
from casemate.network import binding, bridge, inside
from casemate.network.firewall import Firewall
from casemate.network.model import Endpoint, Network
from casemate.network.networks import Networks
from casemate.network.store import Store

DEFAULT = "bridge"


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
        """Give the container a place in its network and bind its ports; nothing is made yet."""
        mode = sharing.network(record.fixed.host, record.fixed.config)
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
            published = publishing.bind(record, taken)
        except BaseException:
            self.store.disconnect(record.id, network.id)
            raise
        return Joined(endpoint, published)

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
        if self._watch:
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
            self._watch = RuleWatch(made.restore_rules)
        return self._made


def early_sysctls() -> dict[str, str]:
    """Return what a network namespace is told before its first interface is there."""
    settings = inside.sysctls(())
    return settings if os.path.isdir("/proc/sys/net/ipv6") else {}
