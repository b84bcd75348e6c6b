"""What on the host stands in the way of its containers' networks, in words, with the remedy.

Nothing here changes anything: the host's firewall belongs to whoever runs the host.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from casemate.errors import from_os
from casemate.linux import sysctl
from casemate.linux.nftables import Command, Nftables
from casemate.network import forwarding
from casemate.network.model import Network

_LEGACY = "/proc/net/ip_tables_names"


class Finding(NamedTuple):
    """Something that the user should know, and what to do about it."""

    message: str
    hint: str


def findings(nftables: Nftables, networks: Iterable[Network], own: str) -> list[Finding]:
    """Return what hinders traffic of ``networks``; ``own`` is the name of the engine's tables.

    Raises an Error when the host's rules cannot be read.
    """
    bridged = [network for network in networks if network.bridge and not network.internal]
    if not bridged:
        return []
    try:
        drops = _dropping_chains(nftables, own)
        found = [
            one for chain in drops for one in _dropped(chain, _rules(nftables, chain), bridged)
        ]
        found += _forwarding_off(bridged)
        if not drops:
            found += _open_router()
        found += _legacy()
    except OSError as error:
        raise from_os(error, "cannot read the host's firewall") from error
    return found


def _dropping_chains(nftables: Nftables, own: str) -> list[Command]:
    """Return the host's chains of the forward hook whose policy is to drop."""
    chains = [entry["chain"] for entry in nftables.execute([{"list": {"chains": {}}}])]
    return [
        chain
        for chain in chains
        if chain.get("hook") == "forward"
        and chain.get("policy") == "drop"
        and chain["family"] in ("ip", "ip6", "inet")
        and chain["table"] != own
    ]


def _rules(nftables: Nftables, chain: Command) -> str:
    """Return the text of all rules of the chain's table: a chain may jump to others."""
    place = {"family": chain["family"], "name": chain["table"]}
    listed = nftables.execute([{"list": {"table": place}}])
    return msgspec.json.encode([one for one in listed if "rule" in one or "set" in one]).decode()


def _dropped(chain: Command, rules: str, networks: list[Network]) -> list[Finding]:
    where = f"{chain['family']} {chain['table']} {chain['name']}"
    wanted = [one for one in networks if chain["family"] != "ip6" or one.ipv6]
    return [
        Finding(
            f"network {network.name} does not reach the outside: the host's chain {where} drops"
            f" what it does not know, and no rule of it names {network.bridge}",
            f"nft 'insert rule {where} iifname {network.bridge} accept;"
            f" insert rule {where} oifname {network.bridge}"
            " ct state established,related accept'",
        )
        for network in wanted
        if f'"{network.bridge}"' not in rules
    ]


def _forwarding_off(networks: list[Network]) -> list[Finding]:
    keys = [forwarding.IPV4] + ([forwarding.IPV6] if any(one.ipv6 for one in networks) else [])
    return [
        Finding(
            f"containers do not reach the outside: {key.replace('/', '.')} is 0",
            f"sysctl -w {key.replace('/', '.')}=1, and find out what resets it",
        )
        for key in keys
        if sysctl.read(key) != "1"
    ]


def _open_router() -> list[Finding]:
    return [
        Finding(
            "the host forwards between all its interfaces: its containers need forwarding, and no"
            " chain of its firewall has the policy to drop what is forwarded",
            "on a host with several networks, give its forward chain the policy drop and accept"
            " what is wanted",
        )
    ]


def _legacy() -> list[Finding]:
    """Rules of the old iptables are not to be seen through nftables."""
    if not os.path.exists(_LEGACY):
        return []
    with open(_LEGACY, encoding="ascii") as file:
        tables = file.read().split()
    if "filter" not in tables:
        return []
    return [
        Finding(
            "the host uses legacy iptables, whose FORWARD policy may drop what containers send",
            "look with iptables-legacy -S FORWARD; move to iptables-nft if it can be helped",
        )
    ]
