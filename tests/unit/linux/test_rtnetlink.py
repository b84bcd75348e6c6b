"""Messages as another implementation reads them, and answers as the kernel writes them."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from casemate.linux import netlink, rtnetlink


def _read(message: netlink.Message, reader: Any = ifinfmsg) -> Any:
    header = struct.pack("=IHHII", 16 + len(message.body), message.kind, message.flags, 1, 0)
    decoded = reader(header + message.body)
    decoded.decode()
    return decoded


def test_a_veth_pair_is_one_message() -> None:
    peer = rtnetlink.Peer("eth0", "02:42:ac:11:00:02", pid=4711)
    message = rtnetlink.create_veth("cmabc", peer, master=3, mtu=1400, group=0x63617304)
    read = _read(message)
    assert message.flags == netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
    assert (read["flags"], read["change"]) == (1, 1)
    assert read.get_attr("IFLA_IFNAME") == "cmabc"
    assert read.get_attr("IFLA_MTU") == 1400
    assert read.get_attr("IFLA_MASTER") == 3
    assert read.get_attr("IFLA_GROUP") == 0x63617304
    info = read.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    far = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert (far["flags"], far["change"]) == (0, 0)
    assert far.get_attr("IFLA_IFNAME") == "eth0"
    assert far.get_attr("IFLA_ADDRESS") == "02:42:ac:11:00:02"
    assert far.get_attr("IFLA_MTU") == 1400
    assert far.get_attr("IFLA_NET_NS_PID") == 4711


def test_a_peer_may_go_to_a_namespace_by_its_descriptor() -> None:
    message = rtnetlink.create_veth("a", rtnetlink.Peer("b", namespace_fd=9), master=0, mtu=1500)
    far = _read(message).get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA")
    assert far.get_attr("VETH_INFO_PEER").get_attr("IFLA_NET_NS_FD") == 9


def test_a_bridge_is_made_down_with_its_mac() -> None:
    read = _read(rtnetlink.create_bridge("casemate0", mac="02:00:00:00:00:01"))
    assert read["flags"] == 0
    assert read.get_attr("IFLA_ADDRESS") == "02:00:00:00:00:01"
    assert read.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "bridge"


def test_an_interface_is_named_by_index_or_name() -> None:
    by_name, by_index = _read(rtnetlink.set_up("eth0")), _read(rtnetlink.set_up(5))
    assert (by_name["index"], by_name.get_attr("IFLA_IFNAME")) == (0, "eth0")
    assert (by_index["index"], by_index.get_attr("IFLA_IFNAME")) == (5, None)
    assert (_read(rtnetlink.set_down(5))["flags"], by_index["flags"]) == (0, 1)
    assert _read(rtnetlink.set_mtu(5, 9000)).get_attr("IFLA_MTU") == 9000
    assert _read(rtnetlink.set_master(5, 2)).get_attr("IFLA_MASTER") == 2
    assert _read(rtnetlink.rename(5, "eth1")).get_attr("IFLA_IFNAME") == "eth1"


def test_addresses_and_routes_are_read_as_they_were_meant() -> None:
    read = _read(rtnetlink.add_address(2, ipaddress.ip_interface("172.17.0.2/16")), ifaddrmsg)
    assert (read["family"], read["prefixlen"], read["index"]) == (2, 16, 2)
    assert read.get_attr("IFA_LOCAL") == read.get_attr("IFA_ADDRESS") == "172.17.0.2"
    assert read.get_attr("IFA_BROADCAST") == "172.17.255.255"
    read = _read(rtnetlink.add_address(2, ipaddress.ip_interface("fd00::2/64")), ifaddrmsg)
    assert (read["family"], read.get_attr("IFA_FLAGS")) == (10, 2)
    everything, gateway = ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_address("172.17.0.1")
    read = _read(rtnetlink.add_route(2, everything, gateway), rtmsg)
    assert (read["dst_len"], read["scope"], read.get_attr("RTA_DST")) == (0, 0, None)
    assert (read.get_attr("RTA_GATEWAY"), read.get_attr("RTA_OIF")) == ("172.17.0.1", 2)
    read = _read(rtnetlink.add_route(2, ipaddress.ip_network("10.0.0.0/8")), rtmsg)
    assert (read["dst_len"], read["scope"], read.get_attr("RTA_DST")) == (8, 253, "10.0.0.0")


@pytest.mark.parametrize("name", ["", "sixteencharacter", "ü" * 8])
def test_a_name_that_the_kernel_has_no_room_for_is_refused(name: str) -> None:
    with pytest.raises(OSError, match="interface name"):
        rtnetlink.set_up(name)
    with netlink.Socket() as made, pytest.raises(OSError, match="interface name"):
        rtnetlink.index_of(made, name)


def test_an_interface_that_is_not_there_is_named_in_the_error() -> None:
    with netlink.Socket() as made:
        for look in (rtnetlink.index_of, rtnetlink.link, rtnetlink.settle):
            with pytest.raises(OSError, match="interface nope"):
                look(made, "nope")


def test_loopback_is_read_without_privileges() -> None:
    with netlink.Socket() as made:
        loopback = rtnetlink.link(made, rtnetlink.LOOPBACK)
        assert (loopback.name, loopback.master, loopback.mac) == ("lo", 0, "00:00:00:00:00:00")
        assert loopback in rtnetlink.links(made)
        assert loopback not in rtnetlink.links(made, kind="bridge")
        for address in rtnetlink.addresses(made):
            assert address.ifindex > 0
        for route in rtnetlink.routes(made):
            assert route.destination.version in (4, 6)


def test_every_hop_of_a_route_is_given() -> None:
    hops = b""
    for index, gateway in ((2, "192.0.2.1"), (3, "192.0.2.2")):
        way = netlink.attribute(5, ipaddress.ip_address(gateway).packed)
        hops += struct.pack("=HBBi", 8 + len(way), 0, 0, index) + way
    body = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + netlink.attribute(9, hops)
    found = list(rtnetlink._routes(netlink.Reply(24, 0, body)))
    assert [(route.ifindex, str(route.gateway)) for route in found] == [
        (2, "192.0.2.1"),
        (3, "192.0.2.2"),
    ]


@given(st.binary(max_size=80))
def test_a_broken_answer_is_an_error_at_most(data: bytes) -> None:
    reply = netlink.Reply(24, 0, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + data)
    for decode in (lambda: list(rtnetlink._routes(reply)), lambda: rtnetlink._link(reply)):
        try:
            decode()
        except (OSError, ValueError, struct.error):
            pass


@pytest.mark.parametrize("mac", ["", "02:00", "02:00:00:00:00:00:01", "zz:00:00:00:00:00"])
def test_a_mac_address_has_six_bytes(mac: str) -> None:
    with pytest.raises(ValueError):
        rtnetlink.create_bridge("b", mac=mac)
