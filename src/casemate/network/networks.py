"""The life of networks and endpoints: records, bridges and rules, in the order that survives.

Recorded first, made second, and the reverse on the way down: after a crash at any point the
records say what may exist, and ``recover`` makes it true.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Sequence

from casemate.errors import NotFound, PermissionDenied, from_os
from casemate.linux.netlink import Socket
from casemate.network import inside, options
from casemate.network.bridge import Bridges, Reconciled
from casemate.network.firewall import Firewall
from casemate.network.model import Endpoint, Network
from casemate.network.request import DEFAULT, NetworkRequest, check, design, is_predefined
from casemate.network.store import Store


class Networks:
    """The networks of one engine."""

    def __init__(self, store: Store, host: Socket, bridges: Bridges, firewall: Firewall) -> None:
        """Keep records in ``store``, act on the host of the netlink socket ``host``."""
        self._store = store
        self._host = host
        self._bridges = bridges
        self._firewall = firewall
        # Rules are made from all networks: two changes at once must not forget each other.
        self._lock = threading.Lock()

    def default(self, bridge: str) -> Network:
        """Return the network of containers that ask for none, made at first use as ``bridge``."""
        with self._lock:
            try:
                return self._store.network(DEFAULT)
            except NotFound:
                return self._create(NetworkRequest(DEFAULT, options={options.NAME: bridge}))

    def create(self, request: NetworkRequest) -> Network:
        """Make a network. All or nothing; raises what ``check`` and ``design`` raise."""
        check(request)
        with self._lock:
            return self._create(request)

    def _create(self, request: NetworkRequest) -> Network:
        others = self._store.networks()
        try:
            network = design(request, self._host, others)
        except OSError as error:
            raise from_os(error, f"cannot create network {request.name}") from error
        self._store.add(network)
        try:
            # The rules know interfaces by name, so that they are there before the first packet.
            self._firewall.apply([*others, network])
            self._bridges.ensure(network)
        except BaseException:
            with self._store.removing(network):
                self._bridges.remove(network)
            self._firewall.apply(others)
            raise
        return network

    def remove(self, network: Network) -> None:
        """Remove a network; raises FailedPrecondition while containers are on it."""
        if is_predefined(network):
            raise PermissionDenied(
                f"cannot remove network {network.name}: it is predefined and always there"
            )
        with self._lock, self._store.removing(network):
            self._bridges.remove(network)
            self._firewall.apply(self._store.networks())

    def attach(self, endpoints: Sequence[Endpoint], pid: int, namespace: Socket) -> None:
        """Connect a container's network namespace, with loopback and all its endpoints.

        ``pid`` is a process in it, ``namespace`` a socket that was opened there. All or nothing.
        """
        try:
            inside.loopback_up(namespace)
        except OSError as error:
            raise from_os(error, "cannot bring up the container's loopback interface") from error
        ways = inside.ways_out(endpoints)
        with contextlib.ExitStack() as undo:
            for endpoint in endpoints:
                network = self._store.network(endpoint.network)
                self._bridges.attach(network, endpoint, pid, namespace, ways[endpoint.network])
                undo.callback(self._bridges.detach, endpoint)
            undo.pop_all()

    def connect(
        self, endpoint: Endpoint, others: Sequence[Endpoint], pid: int, namespace: Socket
    ) -> None:
        """Connect a network namespace that has the endpoints ``others`` to one more network.

        A way out that it has stays. ``pid`` and ``namespace`` are as in ``attach``.
        """
        ways = inside.ways_out([*others, endpoint])
        network = self._store.network(endpoint.network)
        self._bridges.attach(network, endpoint, pid, namespace, ways[endpoint.network])

    def disconnect(self, endpoint: Endpoint) -> None:
        """Take a container off a network, and give its addresses back."""
        self._bridges.detach(endpoint)
        self._store.disconnect(endpoint.container, endpoint.network)

    def recover(self, alive: Collection[str]) -> Reconciled:
        """Make the host what the records say, after a restart of the engine or the host.

        ``alive`` are the containers that run; endpoints of others are forgotten.
        """
        with self._lock:
            networks = self._store.networks()
            self._firewall.apply(networks)
            for network in networks:
                if network.bridge:
                    self._bridges.ensure(network)
            for endpoint in self._store.endpoints():
                if endpoint.container not in alive:
                    self._store.disconnect(endpoint.container, endpoint.network)
            return self._bridges.reconcile(networks, self._store.endpoints())

    def restore_rules(self) -> list[str]:
        """Put the firewall's rules back if somebody changed them; returns what was wrong."""
        with self._lock:
            networks = self._store.networks()
            wrong = self._firewall.verify(networks)
            if wrong:
                self._firewall.apply(networks)
            return wrong
