"""Which networks a container shall be on, and as whom: what a request says, checked.

Source: Docker Engine API v1.47, NetworkingConfig and EndpointSettings.
"""

from __future__ import annotations

from collections.abc import Iterator

from casemate.engine import sharing
from casemate.engine.model import Config, EndpointSettings, HostConfig, NetworkingConfig
from casemate.engine.records import Attachment
from casemate.errors import InvalidArgument, Unsupported
from casemate.network.model import parse_address, parse_alias, parse_mac
from casemate.network.request import DEFAULT

_ALIASES_MAX = 64


def wanted(
    config: Config, host: HostConfig, networking: NetworkingConfig | None
) -> tuple[Attachment, ...]:
    """Return the networks that a new container shall be on, that of ``--network`` first.

    Raises InvalidArgument, Unsupported.
    """
    mode = sharing.network(host, config)
    asked = (networking.endpoints_config if networking else None) or {}
    settings = {name: one or EndpointSettings() for name, one in asked.items()}
    # What says nothing of a name is about the network of --network.
    first = settings.pop(mode, None)
    for name in ("default", host.network_mode):
        first = settings.pop(name, None) or first
    first = first or EndpointSettings()
    if not sharing.has_place(mode):
        if settings:
            raise InvalidArgument(f"conflicting options: network {mode} and {next(iter(settings))}")
        _refuse_place(mode, first)
        return ()
    mac = first.mac_address or config.mac_address
    found = [attachment(mode, first, mac=mac)]
    found += [attachment(name, of) for name, of in settings.items()]
    return tuple(found)


def attachment(name: str, settings: EndpointSettings, *, mac: str = "") -> Attachment:
    """Return a place on the network ``name`` as ``settings`` ask for it.

    Raises InvalidArgument, Unsupported.
    """
    if settings.links:
        raise Unsupported(f"--link for network {name} is not supported yet")
    if settings.gw_priority:
        raise Unsupported(f"--network gw-priority for network {name} is not supported yet")
    if settings.driver_opts:
        raise Unsupported(f"--network driver-opt for network {name} is not supported yet")
    addresses = tuple(_addresses(settings))
    aliases = settings.aliases or []
    if len(aliases) > _ALIASES_MAX:
        raise InvalidArgument(f"more than {_ALIASES_MAX} aliases on network {name}")
    if name == DEFAULT and addresses:
        raise InvalidArgument(
            "invalid config for network bridge: invalid endpoint settings:"
            "\nuser specified IP address is supported on user defined networks only"
        )
    if name == DEFAULT and aliases:
        raise InvalidArgument(
            "invalid config for network bridge: invalid endpoint settings:"
            "\nnetwork-scoped aliases are only supported for user-defined networks"
        )
    mac = settings.mac_address or mac
    return Attachment(
        network=name,
        aliases=tuple(parse_alias(alias) for alias in aliases),
        addresses=tuple(str(parse_address(text)) for text in addresses),
        mac=parse_mac(mac) if mac else "",
    )


def _addresses(settings: EndpointSettings) -> Iterator[str]:
    asked = settings.ipam_config
    if asked is None:
        return
    if asked.link_local_ips:
        raise Unsupported("--link-local-ip is not supported yet")
    yield from filter(None, (asked.ipv4_address, asked.ipv6_address))


def _refuse_place(mode: str, settings: EndpointSettings) -> None:
    if settings.aliases or settings.mac_address or any(_addresses(settings)):
        raise InvalidArgument(
            f"conflicting options: a container with network {mode} has no address, alias or MAC"
            " address of its own"
        )
