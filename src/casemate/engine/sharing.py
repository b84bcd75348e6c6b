"""Which namespaces a container has to itself, and with whom it shares the others.

Each option says ``private``, ``host`` or ``container:NAME``; what it does not say is up to the
isolation profile. Source: moby daemon/internal/runconfig for what contradicts what.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from casemate.engine.model import Config, HostConfig
from casemate.errors import InvalidArgument
from casemate.walls import profiles

HOST, PRIVATE = "host", "private"
_PEER = "container:"
_NETWORKS_WITHOUT_PLACE = ("none", HOST)


class Sharing(NamedTuple):
    """For each kind of namespace ``private``, ``host`` or ``container:NAME``.

    ``ipc`` may also be ``shareable``, which others may join, or ``none``, without /dev/shm.
    ``network`` is the name of a network when it is private.
    """

    network: str
    pid: str
    ipc: str
    uts: str
    cgroup: str
    user: str
    time: str

    @property
    def own(self) -> frozenset[str]:
        """The kinds that are made new; a mount namespace always is."""
        kinds = {k for k, v in self._asdict().items() if v != HOST and not v.startswith(_PEER)}
        return frozenset(kinds | {"mount"})

    @property
    def peers(self) -> dict[str, str]:
        """The kinds that are another container's, and which one's."""
        return {k: v.removeprefix(_PEER) for k, v in self._asdict().items() if v.startswith(_PEER)}


def of(host: HostConfig, config: Config) -> Sharing:
    """Return what ``host`` asks for. Raises InvalidArgument for a mode that is none."""
    profile = profiles.named(host.isolation)

    def usual(kind: str) -> str:
        return PRIVATE if kind in profile.namespaces else HOST

    return Sharing(
        network=network(host, config),
        pid=_mode("PID", host.pid_mode, (PRIVATE, HOST), peers=True) or usual("pid"),
        ipc=_mode("IPC", host.ipc_mode, (PRIVATE, "shareable", "none", HOST), peers=True)
        or usual("ipc"),
        uts=_mode("UTS", host.uts_mode, (PRIVATE, HOST)) or usual("uts"),
        cgroup=_mode("cgroup namespace", host.cgroupns_mode, (PRIVATE, HOST)) or usual("cgroup"),
        user=_mode("user namespace", host.userns_mode, (PRIVATE, HOST)) or usual("user"),
        time=usual("time"),
    )


def network(host: HostConfig, config: Config) -> str:
    """Return ``none``, ``host``, ``container:NAME``, or the name of the network to be on."""
    if config.network_disabled:
        return "none"
    if host.network_mode in ("", "default"):
        return profiles.named(host.isolation).network
    if host.network_mode in (_PEER, "container"):
        raise InvalidArgument("invalid network mode: invalid container format container:<name|id>")
    return host.network_mode


def has_place(mode: str) -> bool:
    """Tell whether a container with this network has an address of its own in it."""
    return mode not in _NETWORKS_WITHOUT_PLACE and not mode.startswith(_PEER)


def check(host: HostConfig, config: Config) -> None:
    """Refuse options that contradict each other. Raises InvalidArgument."""
    sharing = of(host, config)
    for complaint in (
        *_with_anothers_network(sharing, host, config),
        *_with_the_hosts_names(sharing, config),
        *_with_a_user_namespace(sharing, host),
        *_without_a_network(sharing, host),
    ):
        raise InvalidArgument(complaint)


def _mode(kind: str, asked: str, allowed: tuple[str, ...], *, peers: bool = False) -> str:
    if not asked or asked in allowed:
        return asked
    if peers and asked.startswith(_PEER) and asked != _PEER:
        return asked
    raise InvalidArgument(f"invalid {kind} mode: {asked[:80]}")


def _with_anothers_network(sharing: Sharing, host: HostConfig, config: Config) -> Iterator[str]:
    if "network" not in sharing.peers:
        return
    for what, given in (
        ("hostname and the network mode", config.hostname),
        ("dns and the network mode", host.dns),
        ("custom host-to-IP mapping and the network mode", host.extra_hosts),
        (
            "port publishing and the container type network mode",
            host.port_bindings or host.publish_all_ports,
        ),
    ):
        if given:
            yield f"conflicting options: {what}"


def _with_the_hosts_names(sharing: Sharing, config: Config) -> Iterator[str]:
    if sharing.uts == HOST and config.hostname:
        yield "conflicting options: hostname and the UTS mode"
    if sharing.uts == HOST and config.domainname:
        yield "conflicting options: domain name and the UTS mode"


def _with_a_user_namespace(sharing: Sharing, host: HostConfig) -> Iterator[str]:
    """Of what belongs to the host's root, root inside could neither mount nor change anything."""
    if sharing.user == HOST:
        return
    if host.privileged:
        yield (
            "privileged mode is incompatible with user namespaces.  You must run the container in"
            " the host namespace when running privileged mode"
        )
    if sharing.network == HOST:
        yield "cannot share the host's network namespace when user namespaces are enabled"
    if sharing.pid == HOST:
        yield "cannot share the host PID namespace when user namespaces are enabled"
    for kind, mode in (("IPC", sharing.ipc), ("cgroup", sharing.cgroup), ("UTS", sharing.uts)):
        if mode == HOST:
            yield f"cannot share the host {kind} namespace when user namespaces are enabled"
    for kind in sharing.peers:
        yield (
            f"cannot share the {kind} namespace of another container when user namespaces are"
            " enabled: it belongs to another user namespace"
        )


def _without_a_network(sharing: Sharing, host: HostConfig) -> Iterator[str]:
    asked = host.network_mode not in ("", "default")
    if (
        not asked
        and not has_place(sharing.network)
        and (host.port_bindings or host.publish_all_ports)
    ):
        yield (
            f"conflicting options: port publishing and --isolation {host.isolation}, which has no"
            " network of its own unless --network names one"
        )
