"""The options of a bridge network, by Docker's names.

An option that is not known here is refused: several of Docker's decide who can reach whom, and
one that is silently not obeyed is worse than an error.

Source: docs.docker.com, bridge network driver, section Options.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from casemate.errors import InvalidArgument, Unsupported
from casemate.network.model import Address, parse_address, parse_interface, parse_mtu

NAME = "com.docker.network.bridge.name"
MTU = "com.docker.network.driver.mtu"
TALK = "com.docker.network.bridge.enable_icc"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
BINDING = "com.docker.network.bridge.host_binding_ipv4"
PREFIX = "com.docker.network.container_iface_prefix"
_GATEWAY_MODES = (
    "com.docker.network.bridge.gateway_mode_ipv4",
    "com.docker.network.bridge.gateway_mode_ipv6",
)
_KNOWN = (NAME, MTU, TALK, MASQUERADE, BINDING, PREFIX, *_GATEWAY_MODES)


class BridgeOptions(NamedTuple):
    """What a bridge network's options mean.

    ``bridge`` and ``mtu`` are None when the engine chooses. ``talk``: containers reach each
    other. ``masquerade``: outside they appear under the host's address. ``binding``: where ports
    are published when the user names no address.
    """

    bridge: str | None = None
    mtu: int | None = None
    talk: bool = True
    masquerade: bool = True
    binding: Address | None = None
    interface_prefix: str = "eth"


def parse(options: Mapping[str, str]) -> BridgeOptions:
    """Return the meaning of ``options``; raises InvalidArgument or Unsupported."""
    for key in options:
        if key not in _KNOWN:
            raise Unsupported(
                f"cannot use the network option {key[:160]!r}: the bridge driver does not know it",
                hint=f"it knows {', '.join(_KNOWN)}",
            )
    for key in _GATEWAY_MODES:
        if options.get(key, "nat") != "nat":
            raise Unsupported(f"cannot use {key}={options[key][:40]!r}: only nat is supported")
    return BridgeOptions(
        bridge=parse_interface(options[NAME]) if NAME in options else None,
        mtu=parse_mtu(options[MTU]) if MTU in options else None,
        talk=_switch(options, TALK),
        masquerade=_switch(options, MASQUERADE),
        binding=parse_address(options[BINDING]) if BINDING in options else None,
        interface_prefix=_prefix(options.get(PREFIX, "eth")),
    )


def _switch(options: Mapping[str, str], key: str) -> bool:
    text = options.get(key, "true").lower()
    if text not in ("true", "1", "false", "0"):
        raise InvalidArgument(f"invalid value of {key}: {text[:40]!r} is neither true nor false")
    return text in ("true", "1")


def _prefix(text: str) -> str:
    if not 0 < len(text) <= 12:
        raise InvalidArgument(f"invalid value of {PREFIX}: {text[:40]!r} has not 1 to 12 letters")
    parse_interface(text + "0")
    return text
