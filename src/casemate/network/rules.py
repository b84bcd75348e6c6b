"""The firewall rules as a pure function of the networks: values, and their nftables JSON.

Two tables of our own. ``inet NAME`` forbids and masquerades; ``bridge NAME`` sees every frame
that a container sends before any neighbour does. A packet that no rule here forbids goes on to
the host's own chains: an accept ends only our chain, so whatever the host drops stays dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from casemate.linux.nftables import Command
from casemate.network import options
from casemate.network.model import Address, Network

# The interface group of a container's port on the host, by what its network speaks. The values
# say nothing; they only must not be anybody else's.
PORT_IPV4 = 0x63617304
PORT_DUAL = 0x63617306

# Priorities of the hooks: linux/netfilter_ipv4.h, linux/netfilter_bridge.h.
_FILTER, _SRCNAT, _BRIDGE_FILTER = 0, 100, -200
_LINK_LOCAL = {"prefix": {"addr": "fe80::", "len": 10}}

Expression = dict[str, Any]


class Set(NamedTuple):
    """A named set: the types of an element's parts, and the elements, sorted."""

    name: str
    type: tuple[str, ...]
    elements: tuple[tuple[str, ...], ...]


class Chain(NamedTuple):
    """A base chain, whose policy is to accept."""

    name: str
    type: str
    hook: str
    priority: int


class Rule(NamedTuple):
    """A rule of a chain; the comment says why and tells it from the others of the chain."""

    chain: str
    comment: str
    expression: tuple[Expression, ...]


class Table(NamedTuple):
    """A whole table; replaced as one."""

    family: str
    name: str
    sets: tuple[Set, ...]
    chains: tuple[Chain, ...]
    rules: tuple[Rule, ...]


def tables(name: str, networks: Iterable[Network]) -> tuple[Table, Table]:
    """Return the tables that ``networks`` need; those of other drivers need nothing."""
    bridged = sorted((one for one in networks if one.bridge), key=lambda one: one.bridge)
    return _routing(name, bridged), _switching(name, bridged)


def _routing(name: str, networks: list[Network]) -> Table:
    inner = [one for one in networks if one.internal]
    doors = [(one.bridge, subnet.gateway) for one in inner for subnet in one.subnets]
    sets = (
        _names("bridges", networks),
        _names("internal", inner),
        Set("same", ("ifname", "ifname"), tuple((one.bridge, one.bridge) for one in networks)),
        *(
            Set(
                f"door{version}",
                ("ifname", f"ipv{version}_addr"),
                tuple(
                    sorted((bridge, str(one)) for bridge, one in doors if one.version == version)
                ),
            )
            for version in (4, 6)
        ),
    )
    chains = (
        Chain("forward", "filter", "forward", _FILTER),
        Chain("input", "filter", "input", _FILTER),
        Chain("postrouting", "nat", "postrouting", _SRCNAT),
    )
    return Table("inet", name, sets, chains, (*_FORWARD, *_INPUT, *_masquerade(networks)))


def _switching(name: str, networks: list[Network]) -> Table:
    gateways = sorted((s.gateway for one in networks for s in one.subnets), key=int)
    four = [one for one in gateways if one.version == 4]
    six = [one for one in gateways if one.version == 6]
    sets = (
        Set("gateway4", ("ipv4_addr",), tuple((str(one),) for one in four)),
        Set("gateway6", ("ipv6_addr",), tuple((str(one),) for one in six)),
    )
    chains = (Chain("prerouting", "filter", "prerouting", _BRIDGE_FILTER),)
    return Table("bridge", name, sets, chains, (*_PORTS, *_neighbours(six)))


def _names(name: str, networks: Iterable[Network]) -> Set:
    return Set(name, ("ifname",), tuple((one.bridge,) for one in networks))


def _match(left: Expression, right: Any, op: str = "==") -> Expression:
    return {"match": {"op": op, "left": left, "right": right}}


def _meta(key: str) -> Expression:
    return {"meta": {"key": key}}


def _payload(protocol: str, field: str) -> Expression:
    return {"payload": {"protocol": protocol, "field": field}}


_DROP: Expression = {"drop": None}
_ACCEPT: Expression = {"accept": None}
_FROM, _TO = _meta("iifname"), _meta("oifname")
_PORT = {"set": [PORT_IPV4, PORT_DUAL]}
_ROUTER_MESSAGES = {"set": ["nd-router-advert", "nd-redirect"]}

_FORWARD = tuple(
    Rule("forward", comment, expression)
    for comment, expression in (
        (
            "answers to what was allowed",
            (_match({"ct": {"key": "state"}}, ["established", "related"], "in"), _ACCEPT),
        ),
        # Frames inside a bridge pass here when bridge-nf-call-iptables is on.
        ("within one network", (_match({"concat": [_FROM, _TO]}, "@same"), _ACCEPT)),
        ("no way into a network but published ports", (_match(_TO, "@bridges"), _DROP)),
        ("no way out of an internal network", (_match(_FROM, "@internal"), _DROP)),
        (
            "no address that is not routed to the sender",
            (
                _match(_FROM, "@bridges"),
                _match({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, False),
                _DROP,
            ),
        ),
        (
            # What belongs to no connection is not masqueraded either.
            "no private address to the outside",
            (_match(_FROM, "@bridges"), _match({"ct": {"key": "state"}}, "invalid", "in"), _DROP),
        ),
    )
)

_INPUT = tuple(
    Rule(
        "input",
        f"of the host an internal network sees only its gateway, IPv{version}",
        (
            _match(_FROM, "@internal"),
            *((_match(_payload("ip6", "daddr"), _LINK_LOCAL, "!="),) if version == 6 else ()),
            _match({"fib": {"result": "type", "flags": ["daddr"]}}, "local"),
            _match({"concat": [_FROM, _payload(protocol, "daddr")]}, f"@door{version}", "!="),
            _DROP,
        ),
    )
    for version, protocol in ((4, "ip"), (6, "ip6"))
)

_PORTS = tuple(
    Rule("prerouting", comment, expression)
    for comment, expression in (
        ("not from a container", (_match(_meta("iifgroup"), _PORT, "!="), _ACCEPT)),
        (
            # A tag of VLAN 0 would hide the rest of the frame from the rules below.
            "no VLAN tags",
            (_match(_payload("ether", "type"), {"set": ["8021q", "8021ad"]}), _DROP),
        ),
        ("nothing more about IPv4", (_match(_meta("protocol"), "ip"), _ACCEPT)),
        (
            "no IPv6 on an IPv4 network",
            (_match(_meta("iifgroup"), PORT_IPV4), _match(_meta("protocol"), "ip6"), _DROP),
        ),
        (
            "no container is a router",
            (_match(_payload("icmpv6", "type"), _ROUTER_MESSAGES), _DROP),
        ),
        (
            "no container answers for an IPv4 gateway",
            (_match(_payload("arp", "saddr ip"), "@gateway4"), _DROP),
        ),
        (
            "no container speaks as an IPv6 gateway",
            (_match(_payload("ip6", "saddr"), "@gateway6"), _DROP),
        ),
    )
)


def _neighbours(gateways: Sequence[Address]) -> Iterable[Rule]:
    if gateways:
        # The field has no name in older versions of nftables, and no type that a set can have.
        target = {"payload": {"base": "th", "offset": 64, "len": 128}}
        numbers = {"set": [f"{int(one):#x}" for one in gateways]}
        advert = _match(_payload("icmpv6", "type"), "nd-neighbor-advert")
        yield Rule(
            "prerouting",
            "no container answers for an IPv6 gateway",
            (advert, _match(target, numbers), _DROP),
        )


def _masquerade(networks: Iterable[Network]) -> Iterable[Rule]:
    for network in networks:
        if network.internal or not options.parse(network.options).masquerade:
            continue
        for subnet in network.subnets:
            protocol = "ip" if subnet.prefix.version == 4 else "ip6"
            prefix = {
                "addr": str(subnet.prefix.network_address),
                "len": subnet.prefix.prefixlen,
            }
            yield Rule(
                "postrouting",
                f"masquerade {subnet.prefix}",
                (
                    _match(_payload(protocol, "saddr"), {"prefix": prefix}),
                    _match(_TO, network.bridge, "!="),
                    {"masquerade": None},
                ),
            )


def replacement(table: Table) -> list[Command]:
    """Return the commands that put ``table`` in the place of what has its name."""
    name = {"family": table.family, "name": table.name}
    place = {"family": table.family, "table": table.name}
    # Adding what exists is allowed, deleting what does not is not: hence add, delete, add.
    commands: list[Command] = [{"add": {"table": name}}, {"delete": {"table": name}}]
    commands.append({"add": {"table": name}})
    commands += [{"add": {"set": place | _set_object(one)}} for one in table.sets]
    commands += [{"add": {"chain": place | _chain_object(one)}} for one in table.chains]
    commands += [{"add": {"rule": place | _rule_object(one)}} for one in table.rules]
    return commands


def _chain_object(one: Chain) -> Command:
    return {
        "name": one.name,
        "type": one.type,
        "hook": one.hook,
        "prio": one.priority,
        "policy": "accept",
    }


def _rule_object(one: Rule) -> Command:
    return {"chain": one.chain, "comment": one.comment, "expr": list(one.expression)}


def _set_object(one: Set) -> Command:
    single = len(one.type) == 1
    found: Command = {"name": one.name, "type": one.type[0] if single else list(one.type)}
    if one.elements:
        found["elem"] = [e[0] if single else {"concat": list(e)} for e in one.elements]
    return found
