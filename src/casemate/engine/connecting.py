"""Networks of users: made, removed, and containers connected to them, running or not.

Source: docker network; moby daemon/container_operations.go for what is refused.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Mapping, Sequence

from casemate.engine import attachments, labels, naming, publishing, sharing
from casemate.engine.engine import Engine
from casemate.engine.filters import refuse_unknown
from casemate.engine.launch import write_files
from casemate.engine.model import EndpointSettings, NetworkCreate, SubnetConfig
from casemate.engine.networking import Networking
from casemate.engine.records import Attachment, Record
from casemate.engine.threads import in_thread
from casemate.engine.times import time_of
from casemate.errors import (
    AlreadyExists,
    Conflict,
    Error,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unsupported,
)
from casemate.linux import netns, sysctl
from casemate.linux.netlink import Socket
from casemate.network import inside, subnets
from casemate.network.model import HOST, NONE, Endpoint, Network, Subnet
from casemate.network.request import NetworkRequest, is_predefined
from casemate.supervise.connection import Gone
from casemate.supervise.shim import Shim

_LOG = logging.getLogger("casemate.networking")

_NO_IPV6 = "net/ipv6/conf/default/disable_ipv6"


async def create(engine: Engine, asked: NetworkCreate) -> Network:
    """Make a network. Raises AlreadyExists, InvalidArgument, Conflict, Unsupported, Unavailable."""
    request = _request(asked)
    if any(network.name == asked.name for network in engine.networking.known()):
        raise AlreadyExists(f"network with name {asked.name} already exists")
    networks = engine.networking.networks()
    network = await in_thread(lambda: networks.create(request))
    tell(engine, "create", network)
    return network


def _request(asked: NetworkCreate) -> NetworkRequest:
    for what, given in (
        ("--config-only", asked.config_only),
        ("--config-from", (asked.config_from or {}).get("Network")),
        ("--ingress", asked.ingress),
        ("--scope swarm", asked.scope == "swarm"),
        ("--ipam-opt", asked.ipam and asked.ipam.options),
    ):
        if given:
            raise Unsupported(f"{what} is not supported")
    if asked.ipam and asked.ipam.driver not in ("", "default"):
        raise Unsupported(f"--ipam-driver {asked.ipam.driver[:80]} is not supported")
    configs = (asked.ipam.config if asked.ipam else None) or []
    chosen = tuple(_subnet(config) for config in configs)
    return NetworkRequest(
        asked.name,
        driver=asked.driver or "bridge",
        subnets=chosen,
        internal=asked.internal,
        ipv4=asked.enable_ipv4 is not False,
        ipv6=bool(asked.enable_ipv6),
        labels=asked.labels or {},
        options=asked.options or {},
    )


def _subnet(config: SubnetConfig) -> Subnet:
    if not config.subnet:
        raise InvalidArgument("invalid network config: a gateway or an IP range needs its subnet")
    return subnets.parse(
        config.subnet,
        gateway=config.gateway or None,
        pool=config.ip_range or None,
        reserved=config.auxiliary_addresses or {},
    )


async def remove(engine: Engine, network: Network) -> None:
    """Remove a network. Raises FailedPrecondition while containers are on it, PermissionDenied."""
    networks = engine.networking.networks()
    await in_thread(lambda: networks.remove(network))
    tell(engine, "destroy", network)


async def prune(engine: Engine, filters: Mapping[str, list[str]]) -> list[str]:
    """Remove the networks of users that no container is on; returns their names."""
    refuse_unknown(filters, ("label", "label!", "until"))
    until = [time_of(text) for text in filters.get("until", ())]
    gone = []
    for network in engine.networking.known():
        if is_predefined(network) or engine.networking.store.endpoints(network=network.id):
            continue
        if not labels.match(network.labels, filters):
            continue
        if not all(network.created_ns < at for at in until):
            continue
        await remove(engine, network)
        gone.append(network.name)
    return gone


async def connect(
    engine: Engine, network: Network, record: Record, settings: EndpointSettings
) -> None:
    """Connect a container to one more network, at once if it runs.

    Raises InvalidArgument, Conflict, PermissionDenied, Unavailable.
    """
    _require_place(network, record)
    wanted = attachments.attachment(network.name, settings)
    live = engine.live(record.id)
    async with live.lock:
        record = engine.current(record)
        if any(one.network == network.name for one in record.fixed.attachments):
            raise PermissionDenied(
                f"endpoint with name {record.name} already exists in network {network.name}"
            )
        before = engine.networking.store.endpoints(container=record.id)
        if record.active and live.shim:
            await _enter(engine, network, record, live.shim, wanted)
        record = engine.records.attach(record.id, (*record.fixed.attachments, wanted))
        if record.active and live.shim:
            await _follow(engine, record, live.shim, before)
    tell(engine, "connect", network, container=record.id)


async def disconnect(engine: Engine, network: Network, record: Record, *, force: bool) -> None:
    """Take a container off a network, at once if it runs. Raises NotFound."""
    live = engine.live(record.id)
    async with live.lock:
        record = engine.current(record)
        left = tuple(one for one in record.fixed.attachments if one.network != network.name)
        if len(left) == len(record.fixed.attachments):
            if force:
                return
            raise NotFound(f"container {record.id} is not connected to network {network.name}")
        record = engine.records.attach(record.id, left)
        if record.active and live.shim:
            await _leave(engine, network, record, live.shim)
    tell(engine, "disconnect", network, container=record.id)


def tell(engine: Engine, action: str, network: Network, **more: str) -> None:
    """Publish what has happened to a network."""
    detail = {"name": network.name, "type": network.driver, **more}
    engine.events.publish("network", action, network.id, detail)


def _require_place(network: Network, record: Record) -> None:
    """Refuse what cannot be joined, in docker's words. Raises InvalidArgument."""
    mode = sharing.network(record.fixed.host, record.fixed.config)
    if network == HOST or mode == sharing.HOST:
        raise InvalidArgument(
            "container cannot be disconnected from host network or connected to host network"
        )
    if network == NONE or mode == "none":
        raise InvalidArgument(
            "container cannot be connected to multiple networks with one of the networks in"
            " private (none) mode"
        )
    if not sharing.has_place(mode):
        raise InvalidArgument(
            "container sharing network namespace with another container or host cannot be"
            " connected to any other network"
        )


async def _enter(
    engine: Engine, network: Network, record: Record, shim: Shim, wanted: Attachment
) -> None:
    networking = engine.networking
    others = networking.store.endpoints(container=record.id)
    endpoint = networking.reserve(network, record.id, wanted)
    with contextlib.ExitStack() as undo:
        undo.callback(networking.store.disconnect, record.id, network.id)
        try:
            with Socket(fd=await shim.open_network()) as namespace:
                await in_thread(lambda: _connected(networking, endpoint, others, shim, namespace))
        except (Gone, ProcessLookupError) as error:
            raise Conflict(f"container {record.id} is not running") from error
        undo.pop_all()


def _connected(
    networking: Networking,
    endpoint: Endpoint,
    others: Sequence[Endpoint],
    shim: Shim,
    namespace: Socket,
) -> None:
    if os.path.isdir("/proc/sys/net/ipv6"):
        # Decides for interfaces that are made from now on.
        value = "0" if endpoint.ipv6 else "1"
        # The pid cannot be another's: the supervisor has not waited for it yet.
        process = os.pidfd_open(shim.room_pid)
        try:
            netns.within(process, lambda: sysctl.write(_NO_IPV6, value))
        finally:
            os.close(process)
    networking.networks().connect(endpoint, others, shim.room_pid, namespace)


async def _leave(engine: Engine, network: Network, record: Record, shim: Shim) -> None:
    networking = engine.networking
    before = networking.store.endpoints(container=record.id)
    for endpoint in before:
        if endpoint.network == network.id:
            await in_thread(functools.partial(networking.networks().disconnect, endpoint))
    try:
        with Socket(fd=await shim.open_network()) as namespace:
            left = networking.store.endpoints(container=record.id)
            await in_thread(lambda: inside.lead_out(namespace, before, left))
        await _follow(engine, record, shim, before)
    except (Gone, ProcessLookupError):
        pass  # it has ended, and is on no network


async def _follow(engine: Engine, record: Record, shim: Shim, before: Sequence[Endpoint]) -> None:
    """Have the container's own names and its published ports lead to where it is now."""
    now = engine.networking.store.endpoints(container=record.id)
    write_files(engine, record, now)
    try:
        await naming.tell(engine, record)
    except Error as error:  # it is connected all the same
        _LOG.error("container %s has no name server: %s", record.name, error)
    if not record.state.ports or publishing.target(before) == publishing.target(now):
        return
    if before:
        await shim.unrelay(0)
    if not now:
        return  # the numbers stay its own for the day it is connected again
    joined = publishing.again(record, now)
    try:
        await shim.relay(engine.live(record.id).next_number(), *joined.relay())
    finally:
        joined.close()
