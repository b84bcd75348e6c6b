"""Where a container asks for names: sockets inside its network, at the address that Docker has.

They are bound to ports of the kernel's choice, so that a container may itself be a name server;
a rule inside its network leads port 53 there. Both vanish with the network. Source: Docker,
embedded DNS server.
"""

from __future__ import annotations

import socket

from casemate.errors import from_os
from casemate.linux import netns, nftables
from casemate.network.rules import Chain, Expression, Rule, Table, replacement

ADDRESS = "127.0.0.11"

_PORT = 53
_TABLE = "casemate-names"
_DSTNAT = -100  # linux/netfilter_ipv4.h, NF_IP_PRI_NAT_DST
_BACKLOG = 64


def open_in(process: int) -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket inside the network of ``process`` (a pidfd), to be served.

    Raises Error.
    """
    try:
        return netns.within(process, _open)
    except OSError as error:
        raise from_os(error, "cannot give the container a name server") from error


def _open() -> tuple[socket.socket, socket.socket]:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    streams = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        for one in (datagrams, streams):
            one.bind((ADDRESS, 0))
        streams.listen(_BACKLOG)
        ports = {"udp": datagrams.getsockname()[1], "tcp": streams.getsockname()[1]}
        nftables.connect().execute(replacement(_table(ports)))
    except BaseException:
        datagrams.close()
        streams.close()
        raise
    return datagrams, streams


def _table(ports: dict[str, int]) -> Table:
    rules = (
        Rule("output", f"{protocol} names", (*_asks(protocol), _to(port)))
        for protocol, port in ports.items()
    )
    chain = Chain("output", "nat", "output", _DSTNAT)
    return Table("ip", _TABLE, (), (chain,), tuple(rules))


def _asks(protocol: str) -> tuple[Expression, ...]:
    return (
        _equals({"payload": {"protocol": "ip", "field": "daddr"}}, ADDRESS),
        _equals({"payload": {"protocol": protocol, "field": "dport"}}, _PORT),
    )


def _equals(left: Expression, right: str | int) -> Expression:
    return {"match": {"op": "==", "left": left, "right": right}}


def _to(port: int) -> Expression:
    return {"dnat": {"addr": ADDRESS, "port": port}}
