"""The files that tell a container about names."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import InvalidArgument
from casemate.network import files
from casemate.network.files import ExtraHost, Resolver

V4, V6 = ipaddress.ip_address("172.17.0.2"), ipaddress.ip_address("fd00::2")
GATEWAYS = [ipaddress.ip_address("172.17.0.1"), ipaddress.ip_address("fd00::1")]


def test_hosts_names_loopback_then_extra_hosts_then_the_container() -> None:
    extra = [files.parse_extra_host(one) for one in ("db:10.0.0.5", "up=host-gateway")]
    assert files.hosts("web", [V4, V6], extra=extra, gateways=GATEWAYS) == (
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::\tip6-localnet\n"
        "ff00::\tip6-mcastprefix\n"
        "ff02::1\tip6-allnodes\n"
        "ff02::2\tip6-allrouters\n"
        "10.0.0.5\tdb\n"
        "172.17.0.1\tup\n"
        "fd00::1\tup\n"
        "172.17.0.2\tweb\n"
        "fd00::2\tweb\n"
    )


def test_hosts_without_ipv6_has_no_ipv6_line() -> None:
    extra = [files.parse_extra_host(one) for one in ("six:fd00::5", "up:host-gateway")]
    text = files.hosts("web", [V4, V6], extra=extra, gateways=GATEWAYS, ipv6=False)
    assert text == "127.0.0.1\tlocalhost\n172.17.0.1\tup\n172.17.0.2\tweb\n"


@pytest.mark.parametrize(
    ("name", "domain", "line"),
    [
        ("web", "", "web"),
        ("web", "example.org", "web.example.org web"),
        ("web.example.org", "", "web.example.org web"),
        ("web.a", "example.org", "web.a.example.org web"),
    ],
)
def test_a_qualified_name_is_given_with_its_short_form(name: str, domain: str, line: str) -> None:
    assert files.hosts(name, [V4], domain=domain).endswith(f"172.17.0.2\t{line}\n")


def test_a_gateway_that_does_not_exist_cannot_be_named() -> None:
    with pytest.raises(InvalidArgument, match=r"cannot add host up: .* no gateway"):
        files.hosts("web", [], extra=[ExtraHost("up", None)])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("db:10.0.0.5", ExtraHost("db", ipaddress.ip_address("10.0.0.5"))),
        ("db:::1", ExtraHost("db", ipaddress.ip_address("::1"))),
        ("db:[::1]", ExtraHost("db", ipaddress.ip_address("::1"))),
        ("db=::1", ExtraHost("db", ipaddress.ip_address("::1"))),
        ("a.b_c:host-gateway", ExtraHost("a.b_c", None)),
    ],
)
def test_an_extra_host_in_dockers_spellings(text: str, wanted: ExtraHost) -> None:
    assert files.parse_extra_host(text) == wanted


_SMUGGLED = [
    "web\n6.6.6.6 bank.example",
    "web\r6.6.6.6 bank.example",
    "web bank.example",
    "web\tbank.example",
    "web#",
    "web\x0b6.6.6.6",
    "web\u2028",
    "web\x00",
    "",
    "-web",
    "web..example",
    "w" * 254,
]


@pytest.mark.parametrize("text", _SMUGGLED)
def test_no_name_brings_a_line_of_its_own(text: str) -> None:
    for call in (
        lambda: files.hostname(text),
        lambda: files.hosts(text, [V4]),
        lambda: files.hosts("web", [V4], domain=text or "-"),
        lambda: files.parse_extra_host(f"{text}:10.0.0.1"),
        lambda: files.parse_extra_host(f"db:10.0.0.1{text or ' '}"),
    ):
        with pytest.raises(InvalidArgument):
            call()


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_name_makes_one_line_or_none(name: str, domain: str) -> None:
    try:
        text = files.hosts(name, [V4], domain=domain, ipv6=False)
    except InvalidArgument:
        return
    assert text.count("\n") == 2
    assert text.isascii()


def test_a_hostname_is_a_line() -> None:
    assert files.hostname("web.example.org") == "web.example.org\n"
    with pytest.raises(InvalidArgument, match="at most 64"):
        files.hostname("w" * 65)


HOST = """\
# made by something
nameserver 127.0.0.53
nameserver 192.0.2.53
nameserver fd00::53
nameserver fe80::1%eth0
nameserver not-an-address
; another comment
domain old.example
search lab.example example.org
options ndots:2 edns0
options timeout:1
sortlist 130.155.160.0/255.255.240.0
"""


def test_the_hosts_resolver_is_read_and_what_is_invalid_left_out() -> None:
    assert files.parse_resolver(HOST) == Resolver(
        nameservers=("127.0.0.53", "192.0.2.53", "fd00::53"),
        search=("lab.example", "example.org"),
        options=("ndots:2", "edns0", "timeout:1"),
        others=("sortlist 130.155.160.0/255.255.240.0",),
    )
    assert files.parse_resolver("") == Resolver()


def test_a_container_gets_the_hosts_resolver_without_its_loopback() -> None:
    host = files.parse_resolver(HOST)
    assert files.resolv_conf(files.resolver(host)) == (
        "nameserver 192.0.2.53\n"
        "search lab.example example.org\n"
        "options ndots:2 edns0 timeout:1\n"
        "sortlist 130.155.160.0/255.255.240.0\n"
    )
    assert files.resolver(host, ipv6=True).nameservers == ("192.0.2.53", "fd00::53")


def test_public_nameservers_take_the_place_of_none() -> None:
    local = Resolver(nameservers=("127.0.0.1", "::1"))
    assert files.resolver(local).nameservers == ("8.8.8.8", "8.8.4.4")
    assert len(files.resolver(local, ipv6=True).nameservers) == 4


def test_what_the_user_asks_for_takes_the_place_of_the_hosts() -> None:
    host = files.parse_resolver(HOST)
    asked = files.resolver(
        host, nameservers=["127.0.0.1", "FD00::1"], search=["a.example"], options=["use-vc"]
    )
    assert asked == Resolver(("127.0.0.1", "fd00::1"), ("a.example",), ("use-vc",), host.others)
    assert files.resolver(host, search=["."]).search == ()


@pytest.mark.parametrize(
    "asked",
    [
        {"nameservers": ["1.1.1.1\nnameserver 6.6.6.6"]},
        {"nameservers": ["fe80::1%eth0"]},
        {"nameservers": ["dns.example"]},
        {"search": ["a.example\nnameserver 6.6.6.6"]},
        {"search": ["a b"]},
        {"search": [""]},
        {"options": ["ndots:1\nnameserver 6.6.6.6"]},
        {"options": ["ndots:x"]},
        {"options": [""]},
    ],
)
def test_no_dns_option_brings_a_line_of_its_own(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        files.resolver(Resolver(), **asked)


@given(st.text(max_size=200))
def test_any_file_of_the_host_is_read_and_what_is_written_is_read_the_same(text: str) -> None:
    host = files.parse_resolver(text)
    written = files.resolv_conf(host)
    assert files.parse_resolver(written) == host
    keywords = ("nameserver", "search", "options")
    assert sum(line.startswith("nameserver ") for line in written.splitlines()) == len(
        host.nameservers
    )
    assert all(line.split()[0] in keywords or line in host.others for line in written.splitlines())


def test_systemds_stub_is_recognised() -> None:
    assert files.behind_systemd(files.parse_resolver("nameserver 127.0.0.53\n"))
    assert not files.behind_systemd(files.parse_resolver(HOST))
    assert not files.behind_systemd(Resolver())
