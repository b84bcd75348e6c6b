"""Containers on a bridge, with a private host around them."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable

import pyroute2
import pytest

from casemate.errors import Conflict, Error, FailedPrecondition, PermissionDenied
from casemate.linux import rtnetlink
from casemate.network import options, subnets
from casemate.network.model import Endpoint
from casemate.network.request import NetworkRequest
from support.network_lab import (
    HOST4,
    HOST6,
    OUTSIDE4,
    OUTSIDE6,
    Engine,
    Room,
    cut_off,
    here,
    needs_root,
    on_private_host,
    outside,
    reached_from,
    wildcard,
)

pytestmark = [pytest.mark.root, needs_root]


def _links(room: Callable[[Callable[[], object]], object] | None = None) -> dict[str, dict]:
    """Return what an independent reader sees: interfaces with their addresses and routes."""

    def read() -> dict[str, dict]:
        with pyroute2.IPRoute() as reader:
            found = {}
            for link in reader.get_links():
                index = link["index"]
                found[link.get_attr("IFLA_IFNAME")] = {
                    "mtu": link.get_attr("IFLA_MTU"),
                    "mac": link.get_attr("IFLA_ADDRESS"),
                    "up": bool(link["flags"] & 1),
                    "master": link.get_attr("IFLA_MASTER"),
                    "addresses": {
                        f"{a.get_attr('IFA_ADDRESS')}/{a['prefixlen']}"
                        for a in reader.get_addr(index=index)
                    },
                    "gateways": {
                        r.get_attr("RTA_GATEWAY")
                        for r in reader.get_routes(oif=index)
                        if r.get_attr("RTA_GATEWAY")
                    },
                }
            return found

    return room(read) if room else read()  # type: ignore[return-value]


@on_private_host
def test_a_container_gets_what_its_endpoint_says(tmp_path: str) -> None:
    world = outside(mtu=1400)
    engine = Engine(str(tmp_path))
    network = engine.networks.default("casemate0")
    room, endpoint = engine.start(network, "c1")
    assert network.mtu == 1400
    eth0 = _links(room.run)["eth0"]
    assert eth0 == {
        "mtu": 1400,
        "mac": endpoint.mac,
        "up": True,
        "master": None,
        "addresses": {str(endpoint.addresses[0])},
        "gateways": {str(network.subnets[0].gateway)},
    }
    assert _links(room.run)["lo"]["up"]
    on_host = _links()
    bridge = on_host["casemate0"]
    assert bridge["addresses"] == {str(network.subnets[0].gateway_interface)}
    assert (bridge["mac"], bridge["mtu"], bridge["up"]) == (network.mac, 1400, True)
    port = on_host[engine.bridges.interface(endpoint)]
    assert port["up"] and port["mtu"] == 1400 and port["addresses"] == set()
    assert port["master"] == rtnetlink.index_of(engine.host, "casemate0")
    assert world.pid


@on_private_host
def test_the_outside_sees_the_hosts_address(tmp_path: str) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    network = engine.networks.create(NetworkRequest("dual", ipv6=True))
    room, _ = engine.start(network, "c1")
    server = world.run(wildcard)
    assert reached_from(room.run, server, OUTSIDE4) == HOST4
    assert reached_from(room.run, server, OUTSIDE6) == HOST6


@on_private_host
def test_containers_of_one_network_reach_each_other_and_the_host_reaches_them(
    tmp_path: str,
) -> None:
    engine = Engine(str(tmp_path))
    network = engine.networks.create(NetworkRequest("dual", ipv6=True))
    one, first = engine.start(network, "c1")
    two, second = engine.start(network, "c2")
    server = two.run(wildcard)
    for mine, theirs in zip(first.addresses, second.addresses, strict=True):
        assert reached_from(one.run, server, str(theirs.ip)) == str(mine.ip)
    for subnet, theirs in zip(network.subnets, second.addresses, strict=True):
        assert reached_from(here, server, str(theirs.ip)) == str(subnet.gateway)


@on_private_host
def test_networks_are_isolated_from_each_other_and_from_the_outside(tmp_path: str) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    one, _ = engine.start(engine.networks.create(NetworkRequest("one", ipv6=True)), "c1")
    two, there = engine.start(engine.networks.create(NetworkRequest("two", ipv6=True)), "c2")
    server = two.run(wildcard)
    index = rtnetlink.index_of(world.netlink, "eth0")
    for address, host in zip(there.addresses, (HOST4, HOST6), strict=True):
        # A neighbour who knows the way is turned away, too.
        world.netlink.execute(
            rtnetlink.add_route(index, address.network, ipaddress.ip_address(host))
        )
        assert cut_off(one.run, server, str(address.ip))
        assert cut_off(world.run, server, str(address.ip))
        assert reached_from(here, server, str(address.ip))


@on_private_host
def test_an_internal_network_reaches_itself_and_its_gateway_only(tmp_path: str) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    network = engine.networks.create(NetworkRequest("inner", internal=True, ipv6=True))
    one, first = engine.start(network, "c1")
    two, second = engine.start(network, "c2")
    assert first.gateways == ()
    far, near, on_host = world.run(wildcard), two.run(wildcard), wildcard()
    # A container that may configure its network finds no way around either.
    index = rtnetlink.index_of(one.netlink, "eth0")
    for subnet, everything in zip(network.subnets, ("0.0.0.0/0", "::/0"), strict=True):
        way = rtnetlink.add_route(index, ipaddress.ip_network(everything), subnet.gateway)
        one.netlink.execute(way)
        assert reached_from(one.run, on_host, str(subnet.gateway))
    index = rtnetlink.index_of(world.netlink, "eth0")
    for subnet, host in zip(network.subnets, (HOST4, HOST6), strict=True):
        back = rtnetlink.add_route(index, subnet.prefix, ipaddress.ip_address(host))
        world.netlink.execute(back)
    for address in second.addresses:
        assert reached_from(one.run, near, str(address.ip))
    for server, address in ((far, OUTSIDE4), (far, OUTSIDE6), (on_host, HOST4), (on_host, HOST6)):
        assert cut_off(one.run, server, address)


@on_private_host
def test_containers_may_be_kept_from_talking_to_each_other(tmp_path: str) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    asked = NetworkRequest("quiet", options={options.TALK: "false"})
    network = engine.networks.create(asked)
    one, _ = engine.start(network, "c1")
    two, second = engine.start(network, "c2")
    assert cut_off(one.run, two.run(wildcard), str(second.addresses[0].ip))
    assert reached_from(one.run, world.run(wildcard), OUTSIDE4) == HOST4


@on_private_host
def test_a_container_may_be_on_several_networks(tmp_path: str) -> None:
    world = outside()
    engine = Engine(str(tmp_path))
    inner = engine.networks.create(NetworkRequest("inner", internal=True))
    outer = engine.networks.create(NetworkRequest("outer", ipv6=True))
    endpoints = [engine.store.connect(network, "c1") for network in (inner, outer)]
    assert [one.interface for one in endpoints] == ["eth0", "eth1"]
    room = Room()
    engine.networks.attach(endpoints, room.pid, room.netlink)
    seen = _links(room.run)
    assert seen["eth0"]["gateways"] == set()
    assert seen["eth1"]["gateways"] == {str(one) for one in endpoints[1].gateways}
    assert reached_from(room.run, world.run(wildcard), OUTSIDE4) == HOST4


@on_private_host
def test_an_attachment_that_fails_leaves_nothing(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    networks = [engine.networks.create(NetworkRequest(name)) for name in ("one", "two")]
    endpoints = [engine.store.connect(network, "c1") for network in networks]
    room = Room()
    room.netlink.execute(  # the second interface's name is taken
        rtnetlink.create_veth("eth1", rtnetlink.Peer("other"), master=0, mtu=1500)
    )
    with pytest.raises(Error, match="cannot attach container c1 to network two"):
        engine.networks.attach(endpoints, room.pid, room.netlink)
    assert rtnetlink.links(engine.host, kind="veth") == []
    assert {one.name for one in rtnetlink.links(room.netlink)} >= {"lo", "eth1", "other"}
    assert "eth0" not in {one.name for one in rtnetlink.links(room.netlink)}


@on_private_host
def test_a_container_that_starts_again_at_once_takes_the_place_of_its_old_pair(
    tmp_path: str,
) -> None:
    engine = Engine(str(tmp_path))
    network = engine.networks.create(NetworkRequest("one"))
    old, endpoint = engine.start(network, "c1")
    new = Room()
    engine.networks.attach([endpoint], new.pid, new.netlink)
    assert rtnetlink.index_of(new.netlink, "eth0")
    with pytest.raises(OSError, match="eth0"):
        rtnetlink.index_of(old.netlink, "eth0")


@on_private_host
def test_the_bridge_keeps_its_mtu_and_mac_when_the_last_port_leaves(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    network = engine.networks.create(NetworkRequest("small", options={options.MTU: "1280"}))
    _, endpoint = engine.start(network, "c1")
    engine.networks.disconnect(endpoint)
    bridge = rtnetlink.link(engine.host, network.bridge)
    assert (bridge.mtu, bridge.mac) == (1280, network.mac)
    assert engine.store.endpoints() == []


@on_private_host
def test_an_interface_of_somebody_else_is_not_taken_over(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    engine.host.execute(rtnetlink.create_bridge("br0", mac="02:00:00:00:00:07"))
    with pytest.raises(Conflict, match="an interface br0 that is not this network's bridge"):
        engine.networks.create(NetworkRequest("mine", options={options.NAME: "br0"}))
    assert [one.name for one in engine.store.networks()] == ["host", "none"]
    assert rtnetlink.link(engine.host, "br0").mac == "02:00:00:00:00:07"
    assert engine.firewall.verify([]) == []


@on_private_host
def test_a_chosen_subnet_collides_with_nothing_on_the_host(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    engine.host.execute(rtnetlink.create_bridge("docker0", mac="02:00:00:00:00:07"))
    index = rtnetlink.index_of(engine.host, "docker0")
    engine.host.execute(
        rtnetlink.add_address(index, ipaddress.ip_interface("172.17.0.1/16")),
        rtnetlink.set_up(index),
        rtnetlink.add_route(index, ipaddress.ip_network("172.18.64.0/24")),
    )
    chosen = engine.networks.default("casemate0").subnets[0]
    assert str(chosen.prefix) == "172.19.0.0/16"
    with pytest.raises(Conflict, match=r"the host itself has the address 172\.17\.0\.1"):
        engine.networks.create(NetworkRequest("mine", subnets=[subnets.parse("172.17.0.0/24")]))


@on_private_host
def test_a_network_in_use_is_not_removed_and_an_unused_one_leaves_nothing(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    network = engine.networks.create(NetworkRequest("one"))
    room, endpoint = engine.start(network, "c1")
    with pytest.raises(FailedPrecondition, match="has active endpoints"):
        engine.networks.remove(network)
    assert rtnetlink.index_of(engine.host, network.bridge)
    engine.networks.disconnect(endpoint)
    room.kill()
    engine.networks.remove(network)
    assert rtnetlink.links(engine.host, kind="bridge") == []
    assert engine.firewall.verify([]) == []
    for name in ("host", "none"):
        with pytest.raises(PermissionDenied, match="predefined"):
            engine.networks.remove(engine.store.network(name))


@on_private_host
def test_ipv6_forwarding_keeps_the_route_that_a_router_gave(tmp_path: str) -> None:
    outside()
    engine = Engine(str(tmp_path))
    with pyroute2.IPRoute() as writer:
        index = writer.link_lookup(ifname="uplink")[0]
        writer.route("del", dst="::/0", gateway=OUTSIDE6, oif=index)
        writer.route("add", dst="::/0", gateway=OUTSIDE6, oif=index, proto=9)
    engine.networks.create(NetworkRequest("dual", ipv6=True))
    with open("/proc/sys/net/ipv6/conf/uplink/accept_ra") as file:
        assert file.read().strip() == "2"
    with open("/proc/sys/net/ipv6/conf/all/forwarding") as file:
        assert file.read().strip() == "1"


@on_private_host
def test_a_process_that_is_gone_cannot_be_attached(tmp_path: str) -> None:
    engine = Engine(str(tmp_path))
    network = engine.networks.create(NetworkRequest("one"))
    endpoint: Endpoint = engine.store.connect(network, "c1")
    room = Room()
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    with pytest.raises(Error, match="cannot attach container c1"):
        engine.networks.attach([endpoint], gone, room.netlink)
    assert rtnetlink.links(engine.host, kind="veth") == []
