"""The syntax of published ports."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import Error, InvalidArgument, Unsupported
from casemate.network import ports
from casemate.network.ports import EPHEMERAL, Ports, Publication

V4, V6 = ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")


def _one(
    port: int, protocol: str = "tcp", address: object = None, host: object = EPHEMERAL
) -> list:
    outer = Ports(host, host) if isinstance(host, int) else host
    return [Publication(port, protocol, address, outer)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("80", _one(80)),
        ("80/tcp", _one(80)),
        ("53/UDP", _one(53, "udp")),
        ("8080:80", _one(80, host=8080)),
        ("0:80", _one(80)),
        (":80", _one(80)),
        ("::80", _one(80)),
        (":8080:80", _one(80, host=8080)),
        ("127.0.0.1:8080:80", _one(80, address=V4, host=8080)),
        ("127.0.0.1::80/udp", _one(80, "udp", address=V4)),
        ("127.0.0.1:0:80", _one(80, address=V4)),
        ("[::1]:8080:80", _one(80, address=V6, host=8080)),
        ("[::1]::80", _one(80, address=V6)),
        ("8000-9000:80", _one(80, host=Ports(8000, 9000))),
        ("80-81", _one(80) + _one(81)),
        ("8080-8081:80-81/udp", _one(80, "udp", host=8080) + _one(81, "udp", host=8081)),
        ("0:80-81", _one(80) + _one(81)),
        ("65535:65535", _one(65535, host=65535)),
    ],
)
def test_what_docker_understands(text: str, wanted: list[Publication]) -> None:
    assert ports.parse(text) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no container port"),
        ("8080:", "no container port"),
        ("127.0.0.1:8080:", "no container port"),
        ("/tcp", "no container port"),
        ("80/", "must be tcp or udp"),
        ("80/icmp", "must be tcp or udp"),
        ("80/tcp/udp", "must be tcp or udp"),
        ("0", "0 is no container port"),
        ("8080:0", "0 is no container port"),
        ("65536", "not a port"),
        ("-1", "not a port"),
        ("8080-:80", "not a port"),
        ("８０", "not a port"),
        ("8 0", "not a port"),
        ("80\n", "not a port"),
        ("0x50", "not a port"),
        ("90-80", "ends before it begins"),
        ("8080-8082:80-81", "2 container ports but 3 host ports"),
        ("8080:80-81", "2 container ports but 1 host ports"),
        ("0-5:80", "cannot begin with 0"),
        ("localhost:8080:80", "invalid IP address 'localhost'"),
        ("256.0.0.1:8080:80", "invalid IP address"),
        ("::1:8080:80", "needs brackets"),
        ("[::1]8080:80", "bracket must end"),
        ("[::1:8080:80", "bracket must end"),
        ("[127.0.0.1]:8080:80", "brackets are for IPv6"),
        ("[fe80::1%eth0]:8080:80", "a zone has no meaning"),
        ("[::1]:80", "after the address"),
        ("[::1]:1:2:3", "after the address"),
    ],
)
def test_what_is_refused_and_why(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        ports.parse(text)


def test_sctp_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="sctp ports cannot be published"):
        ports.parse("80/SCTP")


@given(st.text(alphabet="0123456789:-/[].abctpudx\n ", max_size=40))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        found = ports.parse(text)
    except Error as error:
        assert "\n" not in error.message
        return
    assert found
    for one in found:
        assert 0 < one.container_port <= ports.PORT_MAX
        assert 0 <= one.host.first <= one.host.last <= ports.PORT_MAX
        assert one.protocol in ports.PROTOCOLS


@given(
    address=st.none() | st.ip_addresses(),
    host=st.integers(0, 65535),
    inner=st.integers(1, 65535),
    protocol=st.sampled_from(ports.PROTOCOLS),
)
def test_every_publication_has_a_spelling(
    address: ipaddress.IPv4Address | None, host: int, inner: int, protocol: str
) -> None:
    place = "" if address is None else f"{address}:" if address.version == 4 else f"[{address}]:"
    wanted = [Publication(inner, protocol, address, Ports(host, host))]
    assert ports.parse(f"{place}{host}:{inner}/{protocol}") == wanted
    given_address = str(address) if address else ""
    assert ports.binding(f"{inner}/{protocol}", given_address, str(host)) == wanted


def test_the_apis_words_are_understood() -> None:
    assert ports.binding("80/tcp", "", "") == _one(80)
    assert ports.binding("80/tcp", "::1", "8000-8001") == _one(
        80, address=V6, host=Ports(8000, 8001)
    )
    assert ports.exposed("80-81/udp") == _one(80, "udp") + _one(81, "udp")
    with pytest.raises(InvalidArgument, match="invalid port binding"):
        ports.binding("80/tcp", "", "many")
    with pytest.raises(InvalidArgument, match="invalid exposed port"):
        ports.exposed("web")
