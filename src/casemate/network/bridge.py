"""The bridge driver: a bridge of the host for each network, a veth pair for each endpoint.

The host's end of a pair has a name that follows from the engine and the endpoint, so that after
a crash it can be told which end belongs to whom, and a group that the firewall rules know.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from casemate.errors import Conflict, Unsupported, from_os
from casemate.linux import rtnetlink, sysctl
from casemate.linux.netlink import Message, Socket
from casemate.network import forwarding, inside, options, rules
from casemate.network.model import Address, Endpoint, Network


class Reconciled(NamedTuple):
    """What was found after a restart.

    ``removed`` are interfaces that belonged to no endpoint; ``missing`` are endpoints whose
    interface is gone, with the container's namespace.
    """

    removed: tuple[str, ...]
    missing: tuple[Endpoint, ...]


class Bridges:
    """The bridges of one engine, on the host of the netlink socket."""

    def __init__(self, host: Socket, instance: str) -> None:
        """Work through ``host``, opened in this process's own network namespace.

        ``instance`` tells this engine's interfaces from others'.
        """
        self._host = host
        self._prefix = "cm" + _letters(instance, 5)

    def interface(self, endpoint: Endpoint) -> str:
        """Return the name of the host's end of the endpoint's pair."""
        return self._prefix + _letters(f"{endpoint.container} {endpoint.network}", 8)

    def ensure(self, network: Network) -> None:
        """Make the network's bridge, or adopt it as it is, and let the host forward.

        Raises Conflict when an interface of that name is somebody else's.
        """
        try:
            with contextlib.ExitStack() as undo:
                index = self._bridge(network, undo)
                _settle_ipv6(network)
                present = {
                    one.interface for one in rtnetlink.addresses(self._host) if one.ifindex == index
                }
                wanted = [subnet.gateway_interface for subnet in network.subnets]
                self._host.execute(
                    rtnetlink.set_mtu(index, network.mtu),
                    *(rtnetlink.add_address(index, one) for one in wanted if one not in present),
                    rtnetlink.set_up(index),
                )
                forwarding.enable_ipv4()
                if network.ipv6:
                    forwarding.enable_ipv6(self._host)
                undo.pop_all()
        except OSError as error:
            raise from_os(error, f"cannot set up network {network.name}") from error

    def remove(self, network: Network) -> None:
        """Remove the network's bridge; one that is not there, or not ours, is left alone."""
        try:
            with contextlib.suppress(Conflict):
                if self._find(network) is not None:
                    self._delete(network.bridge)
        except OSError as error:
            raise from_os(error, f"cannot remove network {network.name}") from error

    def attach(
        self,
        network: Network,
        endpoint: Endpoint,
        pid: int,
        namespace: Socket,
        gateways: Iterable[Address],
    ) -> None:
        """Connect the namespace of the process ``pid``, in which ``namespace`` was opened.

        ``gateways`` become the container's default routes. All or nothing.
        """
        name = self.interface(endpoint)
        far = rtnetlink.Peer(endpoint.interface, endpoint.mac, pid=pid)
        try:
            create = rtnetlink.create_veth(
                name,
                far,
                master=rtnetlink.index_of(self._host, network.bridge),
                mtu=network.mtu,
                group=rules.PORT_DUAL if network.ipv6 else rules.PORT_IPV4,
            )
            with contextlib.ExitStack() as undo:
                undo.callback(self._delete, name)
                self._make_port(name, create)
                if not options.parse(network.options).talk:
                    port = rtnetlink.index_of(self._host, name)
                    self._host.execute(rtnetlink.isolate_port(port))
                inside.configure(namespace, endpoint, gateways)
                self._settle(name, network.bridge)
                undo.pop_all()
        except OSError as error:
            what = f"cannot attach container {endpoint.container} to network {network.name}"
            raise from_os(error, what) from error

    def detach(self, endpoint: Endpoint) -> None:
        """Remove the endpoint's pair; one that is gone already is no error.

        Costs 0.6 ms of CPU, but takes 20 ms: do it while nobody waits.
        """
        try:
            self._delete(self.interface(endpoint))
        except OSError as error:
            raise from_os(error, f"cannot detach container {endpoint.container}") from error

    def reconcile(self, networks: Iterable[Network], endpoints: Iterable[Endpoint]) -> Reconciled:
        """Remove interfaces that no endpoint owns, and put the others back on their bridges.

        The bridges of ``networks`` must be there; see ``ensure``. Ports of others stay as they are.
        """
        owners = {self.interface(endpoint): endpoint for endpoint in endpoints}
        try:
            names = {network.id: network.bridge for network in networks if network.bridge}
            ours = [
                link
                for link in rtnetlink.links(self._host, kind="veth")
                if link.name.startswith(self._prefix)
            ]
            stray = [link.name for link in ours if link.name not in owners]
            for name in stray:
                self._delete(name)
            kept = {link.name: link for link in ours if link.name in owners}
            for name, link in kept.items():
                bridge = names.get(owners[name].network)
                if bridge is None:
                    continue
                master = rtnetlink.index_of(self._host, bridge)
                if master != link.master:
                    self._host.execute(rtnetlink.set_master(link.ifindex, master))
                    self._settle(name, bridge)
        except OSError as error:
            raise from_os(error, "cannot reconcile the networks' interfaces") from error
        missing = tuple(one for name, one in owners.items() if name not in kept)
        return Reconciled(tuple(stray), missing)

    def _find(self, network: Network) -> rtnetlink.Link | None:
        """Return the network's bridge, if it is there; raises Conflict when it is not ours."""
        try:
            link = rtnetlink.link(self._host, network.bridge)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        if link.kind != "bridge" or link.mac != network.mac:
            raise Conflict(
                f"cannot set up network {network.name}: the host has an interface"
                f" {network.bridge} that is not this network's bridge",
                hint=f"choose another name with -o {options.NAME}=NAME",
            )
        return link

    def _bridge(self, network: Network, undo: contextlib.ExitStack) -> int:
        """Return the index of the network's bridge, made (and to be undone) if need be."""
        if self._find(network) is None:
            self._host.execute(rtnetlink.create_bridge(network.bridge, mac=network.mac))
            undo.callback(self._delete, network.bridge)
        return rtnetlink.index_of(self._host, network.bridge)

    def _make_port(self, name: str, create: Message) -> None:
        # The port itself speaks no IP; without this the kernel gives it an address and groups.
        batch = (create, rtnetlink.no_link_local(name))
        try:
            self._host.execute(*batch)
        except FileExistsError:
            # The kernel removes a dead namespace at its leisure: of a container that is started
            # again at once, the pair of the last time may still be there, or just be going.
            self._delete(name)
            self._host.execute(*batch)

    def _settle(self, port: str, bridge: str) -> None:
        """Let frames flow through a port that was made or moved, before anybody sends one."""
        for name in (port, bridge):
            rtnetlink.settle(self._host, name)

    @staticmethod
    def _delete(name: str) -> bool:
        """Delete an interface; returns False when there is none.

        Through a socket of its own: the answer comes only after the kernel's barrier, some 20 ms
        in which others want to attach.
        """
        try:
            with Socket() as once:
                once.execute(rtnetlink.delete_link(name))
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
            return False
        return True


def mtu_of_default_route(host: Socket) -> int:
    """Return the MTU of the way out, in bytes; 1500 when there is no default route."""
    out = [route for route in rtnetlink.routes(host) if route.destination.prefixlen == 0]
    out = [route for route in out if route.ifindex]
    if not out:
        return 1500
    best = min(out, key=lambda route: (route.destination.version, route.metric))
    mtu = rtnetlink.link(host, best.ifindex).mtu
    return min(mtu, best.mtu) if best.mtu else mtu


def _settle_ipv6(network: Network) -> None:
    """Give the bridge no IPv6 on an IPv4 network, and no ear for routers on any."""
    conf = f"net/ipv6/conf/{network.bridge}"
    try:
        sysctl.write(f"{conf}/accept_ra", "0")
        sysctl.write(f"{conf}/disable_ipv6", "0" if network.ipv6 else "1")
    except FileNotFoundError as error:
        if network.ipv6:
            raise Unsupported(
                f"cannot set up network {network.name}: this kernel has IPv6 turned off"
            ) from error


def _letters(seed: str, count: int) -> str:
    """Return ``count`` (at most 16) lower-case letters and digits that depend on ``seed``."""
    digest = hashlib.sha256(seed.encode()).digest()[:10]
    return base64.b32encode(digest).decode().lower()[:count]
