"""What a container must not be able to do to its network, its neighbours and its host."""

from __future__ import annotations

import ipaddress
import socket
import struct
import subprocess
import threading
from collections.abc import Callable
from typing import NamedTuple

import pytest

from casemate.linux import rtnetlink
from casemate.network import binding, ports
from casemate.network.model import Endpoint, Network
from casemate.network.request import NetworkRequest
from support.network_lab import (
    HOST4,
    OUTSIDE4,
    Engine,
    Room,
    checksum,
    cut_off,
    frames,
    here,
    icmpv6,
    needs_root,
    on_private_host,
    outside,
    raw_mac,
    reached_from,
    received_until,
    wildcard,
)

pytestmark = [pytest.mark.root, needs_root]

_MARK = b"the last of these frames"
_ALL = bytes.fromhex("333300000001")
_BROADCAST = b"\xff" * 6
_DENY = (
    "add table inet host; add chain inet host in { type filter hook input priority 0; };"
    " add rule inet host in iifname uplink tcp dport 8080 drop"
)


class Neighbours(NamedTuple):
    """Two containers on one network, an attacker and a victim who listens to every frame."""

    network: Network
    attacker: Room
    endpoint: Endpoint
    victim: socket.socket
    host: socket.socket


def _neighbours(directory: str, **asked: object) -> Neighbours:
    engine = Engine(directory)
    network = engine.networks.create(NetworkRequest("one", **asked))  # type: ignore[arg-type]
    attacker, endpoint = engine.start(network, "attacker")
    victim, _ = engine.start(network, "victim")
    return Neighbours(
        network, attacker, endpoint, victim.run(lambda: frames("eth0")), frames(network.bridge)
    )


def _arrives(there: Neighbours, frame: bytes) -> set[str]:
    """Return who sees ``frame`` when the attacker sends it, and an allowed one after it."""
    last = _BROADCAST + raw_mac(there.endpoint.mac) + b"\x88\xb5" + _MARK

    def send() -> None:
        with frames("eth0") as opened:
            opened.send(frame)
            opened.send(last)

    there.attacker.run(send)
    body = frame[14:]
    return {
        name
        for name, listener in (("victim", there.victim), ("host", there.host))
        if any(body in seen for seen in received_until(listener, _MARK))
    }


def _ether(there: Neighbours, protocol: int, body: bytes, to: bytes = _ALL) -> bytes:
    return to + raw_mac(there.endpoint.mac) + struct.pack("!H", protocol) + body


def _advertisement() -> bytes:
    """Return a router advertisement with a prefix to make addresses from."""
    prefix = struct.pack(
        "!BBBBIII16s", 3, 4, 64, 0xC0, 3600, 3600, 0, bytes.fromhex("20010db8bad0")
    )
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
    return icmpv6("fe80::bad", "ff02::1", body)


def _hidden(packet: bytes) -> bytes:
    """Return the packet with a hop-by-hop header before its ICMPv6 message."""
    options = struct.pack("!BBBBI", 58, 0, 1, 4, 0)
    length = struct.unpack_from("!H", packet, 4)[0] + len(options)
    return packet[:4] + struct.pack("!HB", length, 0) + packet[7:40] + options + packet[40:]


@on_private_host
def test_a_frame_that_is_allowed_arrives(tmp_path: str) -> None:
    there = _neighbours(str(tmp_path), ipv6=True)
    echo = icmpv6("fe80::bad", "ff02::1", struct.pack("!BBHHH", 128, 0, 0, 1, 1) + b"hello hello")
    assert _arrives(there, _ether(there, 0x86DD, echo)) == {"victim", "host"}


@on_private_host
def test_no_router_advertisement_of_a_container_arrives(tmp_path: str) -> None:
    there = _neighbours(str(tmp_path), ipv6=True)
    advertisement = _advertisement()
    assert _arrives(there, _ether(there, 0x86DD, advertisement)) == set()
    assert _arrives(there, _ether(there, 0x86DD, _hidden(advertisement))) == set()
    redirect = icmpv6("fe80::bad", "ff02::1", struct.pack("!BBHI", 137, 0, 0, 0) + bytes(32))
    assert _arrives(there, _ether(there, 0x86DD, redirect)) == set()


@on_private_host
@pytest.mark.parametrize("tag", ["81000000", "88a80000", "8100000081000000"])
def test_no_vlan_tag_hides_a_router_advertisement(tmp_path: str, tag: str) -> None:
    there = _neighbours(str(tmp_path), ipv6=True)
    frame = _ether(there, 0x86DD, _advertisement())
    tagged = frame[:12] + bytes.fromhex(tag) + frame[12:]
    last = frame[14:]

    def send() -> None:
        with frames("eth0") as opened:
            opened.send(tagged)
            opened.send(_BROADCAST + frame[6:12] + b"\x88\xb5" + _MARK)

    there.attacker.run(send)
    assert not any(last in seen for seen in received_until(there.victim, _MARK))


@on_private_host
def test_nothing_of_ipv6_arrives_on_an_ipv4_network(tmp_path: str) -> None:
    there = _neighbours(str(tmp_path))
    echo = icmpv6("fe80::bad", "ff02::1", struct.pack("!BBHHH", 128, 0, 0, 1, 1) + b"hello hello")
    assert _arrives(there, _ether(there, 0x86DD, echo)) == set()


@on_private_host
def test_an_ipv4_network_has_no_ipv6_address_anywhere(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    network = engine.networks.create(NetworkRequest("one"))
    # Even in a namespace whose settings nobody prepared.
    room = Room()
    endpoint = engine.store.connect(network, "c1")
    engine.networks.attach([endpoint], room.pid, room.netlink)
    index = rtnetlink.index_of(room.netlink, "eth0")
    inside = [a for a in rtnetlink.addresses(room.netlink) if a.ifindex == index]
    assert [a.interface for a in inside] == list(endpoint.addresses)
    loopback = rtnetlink.LOOPBACK
    on_host = [a for a in rtnetlink.addresses(engine.host) if a.ifindex != loopback]
    assert [a.interface for a in on_host] == [network.subnets[0].gateway_interface]


@on_private_host
def test_the_settings_of_a_room_turn_ipv6_off_or_keep_routers_out(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    four, _ = engine.start(engine.networks.create(NetworkRequest("four")), "c1")
    dual, endpoint = engine.start(engine.networks.create(NetworkRequest("dual", ipv6=True)), "c2")

    def setting(name: str) -> Callable[[], str]:
        def read() -> str:
            with open(f"/proc/sys/net/ipv6/conf/eth0/{name}") as file:
                return file.read().strip()

        return read

    assert four.run(setting("disable_ipv6")) == "1"
    assert dual.run(setting("disable_ipv6")) == "0"
    assert dual.run(setting("accept_ra")) == "0"
    ready = [a.interface for a in rtnetlink.addresses(dual.netlink) if a.ifindex != 1]
    assert set(endpoint.addresses) <= set(ready)


@on_private_host
def test_no_container_answers_for_the_gateway(tmp_path: str) -> None:
    there = _neighbours(str(tmp_path), ipv6=True)
    mac = raw_mac(there.endpoint.mac)
    four, six = (subnet.gateway for subnet in there.network.subnets)
    arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 2, mac, four.packed, mac, four.packed)
    assert _arrives(there, _ether(there, 0x806, arp, _BROADCAST)) == set()
    option = struct.pack("!BB6s", 2, 1, mac)
    advert = struct.pack("!BBHI16s", 136, 0, 0, 0xE0000000, six.packed) + option
    spoofed = icmpv6("fe80::bad", "ff02::1", advert)
    assert _arrives(there, _ether(there, 0x86DD, spoofed)) == set()
    solicitation = struct.pack("!BBHI16s", 135, 0, 0, 0, six.packed) + b"\x01" + option[1:]
    spoofed = icmpv6(str(six), "ff02::1", solicitation)
    assert _arrives(there, _ether(there, 0x86DD, spoofed)) == set()
    own = there.endpoint.addresses[0].ip
    arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 2, mac, own.packed, mac, own.packed)
    assert _arrives(there, _ether(there, 0x806, arp, _BROADCAST)) == {"victim", "host"}


@on_private_host
def test_no_packet_leaves_under_an_address_that_is_not_the_networks(tmp_path: str) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    room, endpoint = engine.start(engine.networks.create(NetworkRequest("one")), "c1")
    listener = world.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    listener.bind(("", 9))
    listener.settimeout(5)
    index = rtnetlink.index_of(room.netlink, "eth0")
    room.netlink.execute(rtnetlink.add_address(index, ipaddress.ip_interface("198.51.100.7/32")))

    def send(source: str, data: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((source, 0))
            sender.sendto(data, (OUTSIDE4, 9))

    room.run(lambda: send("198.51.100.7", b"spoofed"))
    room.run(lambda: send(str(endpoint.addresses[0].ip), b"honest"))
    data, sender = listener.recvfrom(64)
    assert (data, sender[0]) == (b"honest", HOST4)


@on_private_host
def test_what_belongs_to_no_connection_does_not_leave_unmasked(tmp_path: str) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    room, endpoint = engine.start(engine.networks.create(NetworkRequest("one")), "c1")
    listener = world.run(lambda: frames("eth0"))
    source, destination = endpoint.addresses[0].ip.packed, ipaddress.ip_address(OUTSIDE4).packed
    reset = struct.pack("!HHIIBBHHH", 1234, 80, 1, 0, 5 << 4, 0x04, 0, 0, 0)
    pseudo = source + destination + struct.pack("!HH", socket.IPPROTO_TCP, len(reset))
    reset = reset[:16] + struct.pack("!H", checksum(pseudo + reset)) + reset[18:]

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
            raw.sendto(reset, (OUTSIDE4, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(_MARK, (OUTSIDE4, 9))

    room.run(send)
    assert not [seen for seen in received_until(listener, _MARK) if source in seen[:34]]


def _publish(text: str) -> list[binding.Published]:
    return binding.bind(ports.parse(text), lambda *_: False)


@on_private_host
def test_the_hosts_own_rules_decide_about_a_published_port(tmp_path: str) -> None:
    world = outside()
    Engine(str(tmp_path)).networks.default("casemate0")
    published = _publish("8080:80")
    assert reached_from(world.run, published[0].socket, HOST4) == OUTSIDE4
    subprocess.run(["/usr/sbin/nft", _DENY], check=True)
    assert cut_off(world.run, published[0].socket, HOST4)
    assert reached_from(here, published[0].socket, "127.0.0.1") == "127.0.0.1"
    assert reached_from(here, published[1].socket, "::1") == "::1"


def _relayed(published: socket.socket, address: str) -> None:
    """Pass one connection of ``published`` on to port 7 of ``address``, as the relay does."""

    def relay() -> None:
        accepted, _ = published.accept()
        with accepted, socket.create_connection((address, 7), timeout=5) as onward:
            accepted.sendall(onward.recv(64))

    threading.Thread(target=relay, daemon=True).start()


@on_private_host
def test_a_published_port_leads_into_the_container_and_the_host_may_deny_it(
    tmp_path: str,
) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    network = engine.networks.default("casemate0")
    room, endpoint = engine.start(network, "c1")
    server = room.run(wildcard)
    published = _publish("8080:7")[0].socket
    _relayed(published, str(endpoint.addresses[0].ip))

    def connect() -> socket.socket:
        return socket.create_connection((HOST4, 8080), timeout=0.5)

    with world.run(connect) as client:
        accepted, peer = server.accept()
        with accepted:
            accepted.sendall(b"from the container")
            assert client.recv(64) == b"from the container"
    assert peer[0] == f"::ffff:{network.subnets[0].gateway}"
    subprocess.run(["/usr/sbin/nft", _DENY], check=True)
    with pytest.raises(TimeoutError):
        world.run(connect)


@on_private_host
def test_a_port_on_loopback_is_not_reached_by_a_neighbour(tmp_path: str) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    room, _ = engine.start(engine.networks.default("casemate0"), "c1")
    published = _publish("127.0.0.1:8080:80")[0].socket
    assert reached_from(here, published, "127.0.0.1") == "127.0.0.1"
    for neighbour, gateway in ((world, HOST4), (room, None)):
        neighbour.set("net.ipv4.conf.all.route_localnet", "1")
        index = rtnetlink.index_of(neighbour.netlink, "eth0")
        if gateway:
            way = ipaddress.ip_address(gateway)
            route = rtnetlink.add_route(index, ipaddress.ip_network("127.0.0.0/24"), way)
            neighbour.netlink.execute(route)
        assert cut_off(neighbour.run, published, "127.0.0.1")
        if gateway:
            assert cut_off(neighbour.run, published, gateway)


@on_private_host
def test_a_container_reaches_a_port_that_another_network_published(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    network = engine.networks.create(NetworkRequest("one"))
    room, endpoint = engine.start(network, "c1")
    published = _publish("0:80")[0]
    peer = reached_from(room.run, published.socket, str(network.subnets[0].gateway))
    assert peer == str(endpoint.addresses[0].ip)
