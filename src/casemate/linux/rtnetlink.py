"""Links, addresses and routes of the network namespace of a netlink socket.

Functions that return a ``Message`` only encode; ``netlink.Socket.execute`` sends any number of
them in one system call. The others ask and decode.

Source: man 7 rtnetlink, linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/if_bridge.h.
"""

from __future__ import annotations

import array
import errno
import fcntl
import ipaddress
import struct
from collections.abc import Iterable
from typing import NamedTuple

from casemate.linux.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    Message,
    Reply,
    Socket,
    attribute,
    attributes,
    nest,
    number,
    text,
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# linux/if.h
NAME_MAX = 15
IFF_UP = 0x1
_SIOCGIFINDEX, _SIOCETHTOOL = 0x8933, 0x8946  # linux/sockios.h
_ETHTOOL_GLINK = 0xA  # linux/ethtool.h
LOOPBACK = 1  # the index of lo in every namespace

_RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_SETLINK = 16, 17, 18, 19
_RTM_NEWADDR, _RTM_GETADDR = 20, 22
_RTM_NEWROUTE, _RTM_GETROUTE = 24, 26

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK, _IFLA_MASTER = 1, 3, 4, 5, 10
_IFLA_PROTINFO, _IFLA_LINKINFO, _IFLA_NET_NS_PID = 12, 18, 19
_IFLA_AF_SPEC, _IFLA_GROUP, _IFLA_NET_NS_FD, _IFLA_EXT_MASK = 26, 27, 28, 29
_IFLA_NUM_TX_QUEUES, _IFLA_NUM_RX_QUEUES = 31, 32
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_IFLA_INET6_ADDR_GEN_MODE = 8
_IFLA_BRPORT_ISOLATED = 33
_VETH_INFO_PEER = 1
_RTEXT_FILTER_SKIP_STATS = 8

_AF_BRIDGE, _AF_INET, _AF_INET6 = 7, 2, 10

_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST, _IFA_FLAGS = 1, 2, 4, 8
_IFA_F_NODAD = 0x02

_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY = 1, 4, 5, 6
_RTA_METRICS, _RTA_MULTIPATH, _RTA_TABLE = 8, 9, 15
_RTAX_MTU = 2
_RT_TABLE_MAIN, _RT_TABLE_LOCAL = 254, 255
_RTPROT_STATIC, RTPROT_RA = 4, 9
_RTN_UNICAST = 1
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_HOST = 0, 253, 254

_LINK = struct.Struct("=BxHiII")  # family, device type, index, flags, changed flags
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, dst, src, tos, table, protocol, scope, type, flags
_NEXT_HOP = struct.Struct("=HBBi")  # length, flags, hops, index


class Link(NamedTuple):
    """A network interface. ``peer`` is the other end's index, maybe in another namespace."""

    ifindex: int
    name: str
    kind: str
    up: bool
    mtu: int
    mac: str
    master: int
    group: int
    peer: int


class Peer(NamedTuple):
    """The far end of a veth pair that is to be made.

    ``pid`` names a process, or ``namespace_fd`` an open descriptor, of the network namespace in
    which the end appears; neither means the socket's own namespace.
    """

    name: str
    mac: str | None = None
    pid: int | None = None
    namespace_fd: int | None = None


class InterfaceAddress(NamedTuple):
    """An address of the interface ``ifindex``, with the length of its prefix."""

    ifindex: int
    interface: Interface


class Route(NamedTuple):
    """A unicast route: where to, over which gateway (or none) and interface.

    ``ifindex`` is 0 when no interface is named; ``mtu`` is 0 unless the route lowers it.
    """

    destination: Network
    gateway: Address | None
    ifindex: int
    metric: int
    protocol: int
    mtu: int


def create_bridge(name: str, *, mac: str) -> Message:
    """Make the bridge ``name``, down. A fixed ``mac`` keeps it from following its ports.

    It follows their MTU until ``set_mtu`` changes it; one given here would not count for that.
    """
    return _create(
        name,
        _LINK.pack(0, 0, 0, 0, 0),
        attribute(_IFLA_ADDRESS, _mac_bytes(mac)),
        nest(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "bridge")),
    )


def create_veth(name: str, peer: Peer, *, master: int, mtu: int, group: int = 0) -> Message:
    """Make a veth pair: this end up and a port of the bridge ``master``, the other end down.

    ``group`` is the interface group of this end, by which firewall rules know it. Both have one
    queue: the kernel's default, one per possible processor, only helps XDP programs, and every
    queue costs objects in sysfs.
    """
    queues = number(_IFLA_NUM_TX_QUEUES, 1) + number(_IFLA_NUM_RX_QUEUES, 1)
    far = [_LINK.pack(0, 0, 0, 0, 0), _name(peer.name), number(_IFLA_MTU, mtu), queues]
    if peer.mac is not None:
        far.append(attribute(_IFLA_ADDRESS, _mac_bytes(peer.mac)))
    if peer.pid is not None:
        far.append(number(_IFLA_NET_NS_PID, peer.pid))
    elif peer.namespace_fd is not None:
        far.append(number(_IFLA_NET_NS_FD, peer.namespace_fd))
    return _create(
        name,
        _LINK.pack(0, 0, 0, IFF_UP, IFF_UP),
        number(_IFLA_MTU, mtu),
        queues,
        number(_IFLA_MASTER, master),
        number(_IFLA_GROUP, group),
        nest(
            _IFLA_LINKINFO,
            text(_IFLA_INFO_KIND, "veth"),
            nest(_IFLA_INFO_DATA, nest(_VETH_INFO_PEER, *far)),
        ),
    )


def _create(name: str, header: bytes, *parts: bytes) -> Message:
    body = b"".join((header, _name(name), *parts))
    return Message(_RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"create interface {name}")


def set_up(link: int | str) -> Message:
    """Bring the interface with this index or name up."""
    index, name = _which(link)
    body = _LINK.pack(0, 0, index, IFF_UP, IFF_UP) + name
    return Message(_RTM_NEWLINK, 0, body, f"bring interface {link} up")


def set_down(link: int | str) -> Message:
    """Bring the interface with this index or name down."""
    index, name = _which(link)
    body = _LINK.pack(0, 0, index, 0, IFF_UP) + name
    return Message(_RTM_NEWLINK, 0, body, f"bring interface {link} down")


def set_mtu(link: int | str, mtu: int) -> Message:
    """Set the MTU, in bytes."""
    index, name = _which(link)
    body = _LINK.pack(0, 0, index, 0, 0) + name + number(_IFLA_MTU, mtu)
    return Message(_RTM_NEWLINK, 0, body, f"set the mtu of interface {link} to {mtu}")


def set_master(link: int | str, master: int) -> Message:
    """Make the interface a port of the bridge with index ``master``; 0 takes it out."""
    index, name = _which(link)
    body = _LINK.pack(0, 0, index, 0, 0) + name + number(_IFLA_MASTER, master)
    return Message(_RTM_NEWLINK, 0, body, f"set the bridge of interface {link}")


def rename(index: int, name: str) -> Message:
    """Give the interface a new name; before kernel 6.2 it must be down."""
    body = _LINK.pack(0, 0, index, 0, 0) + _name(name)
    return Message(_RTM_NEWLINK, 0, body, f"rename interface {index} to {name}")


def no_link_local(link: int | str) -> Message:
    """Keep the kernel from giving the interface IPv6 addresses of its own making.

    Takes effect when the interface becomes ready, so send it before ``set_up``.
    """
    index, name = _which(link)
    mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, b"\x01")  # IN6_ADDR_GEN_MODE_NONE
    spec = nest(_IFLA_AF_SPEC, nest(_AF_INET6, mode))
    body = _LINK.pack(0, 0, index, 0, 0) + name + spec
    return Message(_RTM_NEWLINK, 0, body, f"keep interface {link} without link-local addresses")


def isolate_port(index: int) -> Message:
    """Keep the bridge port ``index`` from exchanging frames with other isolated ports."""
    flag = attribute(_IFLA_BRPORT_ISOLATED, b"\x01")
    body = _LINK.pack(_AF_BRIDGE, 0, index, 0, 0) + nest(_IFLA_PROTINFO, flag)
    return Message(_RTM_SETLINK, 0, body, f"isolate bridge port {index}")


def delete_link(link: int | str) -> Message:
    """Remove the interface; of a veth pair, both ends."""
    index, name = _which(link)
    body = _LINK.pack(0, 0, index, 0, 0) + name
    return Message(_RTM_DELLINK, 0, body, f"delete interface {link}")


def link(netlink: Socket, which: int | str) -> Link:
    """Return the interface with this index or name, or raise OSError(ENODEV)."""
    index, name = _which(which)
    body = _LINK.pack(0, 0, index, 0, 0) + name + number(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    return _link(netlink.ask(Message(_RTM_GETLINK, 0, body, f"look up interface {which}")))


def index_of(netlink: Socket, name: str) -> int:
    """Return the index of the interface ``name``, or raise OSError(ENODEV).

    Forty times cheaper than ``link``: the socket layer answers SIOCGIFINDEX on every socket, for
    the socket's own namespace. Source: man 7 netdevice.
    """
    request = struct.pack("=16si20x", _checked(name).encode(), 0)
    try:
        answer = fcntl.ioctl(netlink.fileno(), _SIOCGIFINDEX, request)
    except OSError as error:
        raise OSError(error.errno, f"look up interface {name}: {error.strerror}") from error
    return int(struct.unpack_from("=16si", answer)[1])


def settle(netlink: Socket, name: str) -> None:
    """Let the kernel act on the carrier of ``name`` now, rather than from its work queue.

    Until then an interface that just came up drops what it should send, and a neighbour that is
    asked for is asked again only after a second. Since kernel 6.9 looking at the link does it.
    Source: linux/ethtool.h, ETHTOOL_GLINK; ethtool_op_get_link.
    """
    question = array.array("I", (_ETHTOOL_GLINK, 0))
    request = struct.pack("@16sP16x", _checked(name).encode(), question.buffer_info()[0])
    try:
        fcntl.ioctl(netlink.fileno(), _SIOCETHTOOL, request)
    except OSError as error:
        raise OSError(error.errno, f"look at interface {name}: {error.strerror}") from error


def links(netlink: Socket, *, kind: str | None = None) -> list[Link]:
    """Return all interfaces, or those of a ``kind`` such as ``veth`` or ``bridge``."""
    body = _LINK.pack(0, 0, 0, 0, 0) + number(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    if kind is not None:
        body += nest(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, kind))
    found = map(_link, netlink.dump(Message(_RTM_GETLINK, 0, body, "list interfaces")))
    # The kernel's own filter only saves work: not every version has it.
    return [one for one in found if kind in (None, one.kind)]


def add_address(index: int, interface: Interface) -> Message:
    """Give the interface an address; IPv6 without the wait for duplicate detection."""
    raw = interface.ip.packed
    parts = [attribute(_IFA_LOCAL, raw), attribute(_IFA_ADDRESS, raw)]
    if interface.version == 6:
        parts.append(number(_IFA_FLAGS, _IFA_F_NODAD))
    elif interface.network.prefixlen < 31:
        parts.append(attribute(_IFA_BROADCAST, interface.network.broadcast_address.packed))
    body = _address_header(index, interface) + b"".join(parts)
    what = f"add address {interface} to interface {index}"
    return Message(_RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, what)


def addresses(netlink: Socket) -> list[InterfaceAddress]:
    """Return the addresses of all interfaces."""
    body = _ADDRESS.pack(0, 0, 0, 0, 0)
    return [
        _interface_address(reply)
        for reply in netlink.dump(Message(_RTM_GETADDR, 0, body, "list addresses"))
    ]


def add_route(index: int, destination: Network, gateway: Address | None = None) -> Message:
    """Reach ``destination`` through the interface, directly or over ``gateway``."""
    body = _route_body(index, destination, gateway)
    what = f"add the route to {destination} over {gateway or f'interface {index}'}"
    return Message(_RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, what)


def routes(netlink: Socket) -> list[Route]:
    """Return the unicast routes of every table but the local one, IPv4 and IPv6.

    A route over several next hops is given once for each.
    """
    found: list[Route] = []
    for family in (_AF_INET, _AF_INET6):
        body = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        try:
            replies = netlink.dump(Message(_RTM_GETROUTE, 0, body, "list routes"))
        except OSError as error:
            # A kernel booted with ipv6.disable=1 has no such dump.
            if family == _AF_INET6 and error.errno in (errno.EOPNOTSUPP, errno.EAFNOSUPPORT):
                continue
            raise
        for reply in replies:
            found.extend(_routes(reply))
    return found


def _which(link: int | str) -> tuple[int, bytes]:
    return (link, b"") if isinstance(link, int) else (0, _name(link))


def _name(name: str) -> bytes:
    return text(_IFLA_IFNAME, _checked(name))


def _checked(name: str) -> str:
    if not 0 < len(name.encode()) <= NAME_MAX:
        raise OSError(errno.EINVAL, f"interface name {name!r}: 1 to {NAME_MAX} bytes")
    return name


def _mac_bytes(mac: str) -> bytes:
    raw = bytes.fromhex(mac.replace(":", ""))
    if len(raw) != 6:
        raise ValueError(f"invalid MAC address {mac!r}: six bytes are needed")
    return raw


def _u32(value: bytes | None) -> int:
    return int(struct.unpack_from("=I", value)[0]) if value else 0


def _link(reply: Reply) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(reply.body)
    found = attributes(reply.body, _LINK.size)
    info = attributes(found.get(_IFLA_LINKINFO, b""))
    return Link(
        ifindex=index,
        name=_string(found.get(_IFLA_IFNAME)),
        kind=_string(info.get(_IFLA_INFO_KIND)),
        up=bool(flags & IFF_UP),
        mtu=_u32(found.get(_IFLA_MTU)),
        mac=found.get(_IFLA_ADDRESS, b"").hex(":"),
        master=_u32(found.get(_IFLA_MASTER)),
        group=_u32(found.get(_IFLA_GROUP)),
        peer=_u32(found.get(_IFLA_LINK)),
    )


def _string(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0").decode(errors="surrogateescape")


def _address_header(index: int, interface: Interface) -> bytes:
    family = _AF_INET if interface.version == 4 else _AF_INET6
    scope = _SCOPE_HOST if interface.ip.is_loopback else _SCOPE_UNIVERSE
    return _ADDRESS.pack(family, interface.network.prefixlen, 0, scope, index)


def _interface_address(reply: Reply) -> InterfaceAddress:
    _, prefix, _, _, index = _ADDRESS.unpack_from(reply.body)
    found = attributes(reply.body, _ADDRESS.size)
    raw = found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]
    interface = ipaddress.ip_interface((raw, prefix))
    return InterfaceAddress(index, interface)


def _route_body(index: int, destination: Network, gateway: Address | None) -> bytes:
    family = _AF_INET if destination.version == 4 else _AF_INET6
    scope = _SCOPE_LINK if gateway is None and family == _AF_INET else _SCOPE_UNIVERSE
    length = destination.prefixlen
    fixed = (_RT_TABLE_MAIN, _RTPROT_STATIC, scope, _RTN_UNICAST)
    parts = [_ROUTE.pack(family, length, 0, 0, *fixed, 0)]
    if length:
        parts.append(attribute(_RTA_DST, destination.network_address.packed))
    if gateway is not None:
        parts.append(attribute(_RTA_GATEWAY, gateway.packed))
    parts.append(number(_RTA_OIF, index))
    return b"".join(parts)


def _routes(reply: Reply) -> Iterable[Route]:
    family, length, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(reply.body)
    found = attributes(reply.body, _ROUTE.size)
    table = _u32(found.get(_RTA_TABLE)) or table
    if kind != _RTN_UNICAST or table == _RT_TABLE_LOCAL:
        return
    raw = found.get(_RTA_DST, bytes(4 if family == _AF_INET else 16))
    destination = ipaddress.ip_network((raw, length))
    metric = _u32(found.get(_RTA_PRIORITY))
    mtu = _u32(attributes(found.get(_RTA_METRICS, b"")).get(_RTAX_MTU))
    for index, gateway in _hops(found):
        yield Route(destination, gateway, index, metric, protocol, mtu)


def _hops(found: dict[int, bytes]) -> Iterable[tuple[int, Address | None]]:
    several = found.get(_RTA_MULTIPATH)
    if several is None:
        yield _u32(found.get(_RTA_OIF)), _gateway(found)
        return
    offset = 0
    while offset + _NEXT_HOP.size <= len(several):
        size, _, _, index = _NEXT_HOP.unpack_from(several, offset)
        if size < _NEXT_HOP.size:
            raise OSError(errno.EBADMSG, "netlink: next hop with a wrong length")
        yield index, _gateway(attributes(several[offset + _NEXT_HOP.size : offset + size]))
        offset += (size + 3) & ~3


def _gateway(found: dict[int, bytes]) -> Address | None:
    raw = found.get(_RTA_GATEWAY)
    return ipaddress.ip_address(raw) if raw else None
