"""From requests to networks: names, options, subnets."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import Error, InvalidArgument, PermissionDenied, Unavailable, Unsupported
from casemate.network import inside, model, options, subnets
from casemate.network.model import Endpoint, Subnet
from casemate.network.request import NetworkRequest, check


def _prefixes(*texts: str) -> list[model.Prefix]:
    return [ipaddress.ip_network(text) for text in texts]


def test_a_subnet_has_a_gateway_and_a_pool() -> None:
    assert subnets.parse("10.0.0.0/24") == Subnet(
        *(_prefixes("10.0.0.0/24")), ipaddress.ip_address("10.0.0.1"), *_prefixes("10.0.0.0/24")
    )
    chosen = subnets.parse(
        "fd00::/64", gateway="fd00::9", pool="fd00::8000/113", reserved={"a": "fd00::5"}
    )
    assert str(chosen.gateway_interface) == "fd00::9/64"
    assert (str(chosen.pool), str(chosen.reserved["a"])) == ("fd00::8000/113", "fd00::5")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"prefix": "10.0.0.0"}, "an address and a length"),
        ({"prefix": "10.0.0.0/255.255.255.0"}, "an address and a length"),
        ({"prefix": "10.0.0.0/24\n"}, "an address and a length"),
        ({"prefix": "fe80::1%eth0/64"}, "an address and a length"),
        ({"prefix": "10.0.0.0/33"}, "invalid subnet"),
        ({"prefix": "10.0.0.1/24"}, r"it should be 10\.0\.0\.0/24"),
        ({"prefix": "10.0.0.0/31"}, "length must be /8 to /30"),
        ({"prefix": "0.0.0.0/0"}, "length must be /8 to /30"),
        ({"prefix": "fd00::/127"}, "length must be /16 to /126"),
        ({"prefix": "127.0.0.0/8"}, "not a range for hosts"),
        ({"prefix": "224.0.0.0/8"}, "not a range for hosts"),
        ({"prefix": "169.254.0.0/16"}, "not a range for hosts"),
        ({"prefix": "fe80::/64"}, "not a range for hosts"),
        ({"prefix": "10.0.0.0/24", "gateway": "10.0.1.1"}, "not a host address"),
        ({"prefix": "10.0.0.0/24", "gateway": "10.0.0.255"}, "not a host address"),
        ({"prefix": "10.0.0.0/24", "gateway": "fd00::1"}, "not a host address"),
        ({"prefix": "10.0.0.0/24", "pool": "10.0.1.0/25"}, "not inside of the subnet"),
        ({"prefix": "10.0.0.0/24", "pool": "fd00::/64"}, "not inside of the subnet"),
        ({"prefix": "10.0.0.0/24", "reserved": {"x": "10.0.0.0"}}, "not a host address"),
    ],
)
def test_a_subnet_that_cannot_be_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        subnets.parse(**asked)


@given(st.text(max_size=50), st.none() | st.text(max_size=20))
def test_any_subnet_is_understood_or_refused(prefix: str, gateway: str | None) -> None:
    try:
        subnets.parse(prefix, gateway=gateway)
    except Error as error:
        assert "\n" not in error.message


def test_the_first_candidate_that_overlaps_with_nothing_is_chosen() -> None:
    choose = subnets.choose_ipv4
    assert str(choose([]).prefix) == "172.17.0.0/16"
    assert str(choose(_prefixes("172.17.5.0/24")).prefix) == "172.18.0.0/16"
    assert str(choose(_prefixes("172.16.0.0/12")).prefix) == "192.168.0.0/20"
    assert str(choose(_prefixes("172.16.0.0/12", "192.168.1.0/24")).prefix) == "192.168.16.0/20"
    assert str(choose(_prefixes("fd00::/8")).prefix) == "172.17.0.0/16"
    with pytest.raises(Unavailable, match="cannot choose a subnet"):
        choose(_prefixes("172.16.0.0/12", "192.168.0.0/16"))


def test_a_unique_local_prefix_depends_on_the_network_only() -> None:
    first = subnets.choose_ipv6("one", [])
    assert first == subnets.choose_ipv6("one", _prefixes("10.0.0.0/8"))
    assert first.prefix.prefixlen == 64
    assert first.prefix.overlaps(ipaddress.ip_network("fd00::/8"))
    second = subnets.choose_ipv6("one", [first.prefix])
    assert not second.prefix.overlaps(first.prefix)
    assert subnets.choose_ipv6("two", []) != first
    with pytest.raises(Unavailable):
        subnets.choose_ipv6("one", _prefixes("fd00::/8"))


def test_options_by_dockers_names() -> None:
    assert options.parse({}) == options.BridgeOptions()
    assert options.parse(
        {
            options.NAME: "lan0",
            options.MTU: "9000",
            options.TALK: "False",
            options.MASQUERADE: "0",
            options.BINDING: "127.0.0.1",
            options.PREFIX: "net",
            "com.docker.network.bridge.gateway_mode_ipv4": "nat",
        }
    ) == options.BridgeOptions("lan0", 9000, False, False, ipaddress.ip_address("127.0.0.1"), "net")


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("com.example.unknown", "1", Unsupported),
        ("com.docker.network.bridge.gateway_mode_ipv4", "isolated", Unsupported),
        (options.TALK, "maybe", InvalidArgument),
        (options.TALK, "", InvalidArgument),
        (options.MTU, "67", InvalidArgument),
        (options.MTU, "65536", InvalidArgument),
        (options.MTU, "-1", InvalidArgument),
        (options.MTU, "１５００", InvalidArgument),
        (options.NAME, "a/../b", InvalidArgument),
        (options.NAME, "-flag", InvalidArgument),
        (options.NAME, "all", InvalidArgument),
        (options.NAME, "sixteen_letters_", InvalidArgument),
        (options.BINDING, "localhost", InvalidArgument),
        (options.PREFIX, "thirteen_long", InvalidArgument),
        (options.PREFIX, "", InvalidArgument),
    ],
)
def test_an_option_that_is_not_understood_is_refused(
    key: str, value: str, kind: type[Error]
) -> None:
    with pytest.raises(kind, match=r"option|invalid|cannot"):
        options.parse({key: value})


SIX = subnets.parse("fd00::/64")


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({"name": ""}, InvalidArgument, "invalid network name"),
        ({"name": "a/b"}, InvalidArgument, "invalid network name"),
        ({"name": "a\nb"}, InvalidArgument, "invalid network name"),
        ({"name": "n" * 129}, InvalidArgument, "invalid network name"),
        ({"name": "bridge"}, PermissionDenied, "reserved"),
        ({"name": "host"}, PermissionDenied, "reserved"),
        ({"name": "n", "driver": "overlay"}, Unsupported, "no driver 'overlay'"),
        ({"name": "n", "subnets": [SIX]}, InvalidArgument, "IPv6 is not enabled"),
        ({"name": "n", "ipv4": False}, InvalidArgument, "neither IPv4 nor IPv6"),
        ({"name": "n", "ipv6": True, "subnets": [SIX, SIX]}, InvalidArgument, "more than one"),
        ({"name": "n", "labels": {str(n): "" for n in range(1025)}}, InvalidArgument, "labels"),
    ],
)
def test_a_request_that_cannot_be_is_refused(
    asked: dict[str, Any], kind: type[Error], said: str
) -> None:
    with pytest.raises(kind, match=said):
        check(NetworkRequest(**asked))


def _endpoint(network: str, *gateways: str, address: str = "10.0.0.2/24") -> Endpoint:
    ways = tuple(ipaddress.ip_address(one) for one in gateways)
    return Endpoint("c", network, "eth0", "", (ipaddress.ip_interface(address),), ways)


def test_the_first_network_with_a_gateway_leads_out() -> None:
    endpoints = [
        _endpoint("inner"),
        _endpoint("four", "10.0.0.1"),
        _endpoint("dual", "10.1.0.1", "fd00::1"),
    ]
    ways = inside.ways_out(endpoints)
    assert ways["inner"] == ()
    assert [str(one) for one in ways["four"]] == ["10.0.0.1"]
    assert [str(one) for one in ways["dual"]] == ["fd00::1"]


def test_the_settings_of_a_namespace_follow_from_its_addresses() -> None:
    routers = {"net.ipv6.conf.default.accept_ra": "0"}
    off = routers | {"net.ipv6.conf.default.disable_ipv6": "1"}
    assert inside.sysctls(ipv6=False) == off
    assert inside.sysctls(ipv6=True) == routers


@given(st.ip_addresses())
def test_a_mac_address_of_an_address_is_local_and_unicast(address: model.Address) -> None:
    mac = model.mac_of(address)
    assert model.parse_mac(mac) == mac
    assert int(mac[:2], 16) & 3 == 2
    assert model.mac_of(address) == mac
