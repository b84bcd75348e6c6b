"""Who is called what, as each container sees it."""

from __future__ import annotations

import pytest
from dnslib import QTYPE, RCODE, DNSRecord  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from casemate.names.protocol import Container, Place
from casemate.names.service import question
from casemate.names.zone import Zone


def place(network: str, *names: str, at: tuple[str, ...], internal: bool = False) -> Place:
    return Place(f"id-{network}", network, names, at, internal)


@pytest.fixture
def zone() -> Zone:
    zone = Zone()
    for id_, places in {
        "a": (place("red", "web", "www", at=("10.0.0.2", "fd00::2")),),
        "b": (place("red", "web2", "www", at=("10.0.0.3",)),),
        "c": (place("red", "both", at=("10.0.0.4",)), place("blue", "both", at=("10.1.0.2",))),
        "d": (place("blue", "db", at=("10.1.0.3",)),),
        "e": (place("dark", "alone", at=("10.2.0.2",), internal=True),),
    }.items():
        zone.put(Container(id_, places, ()))
    return zone


def _with_one_question(data: bytes) -> bytes:
    return b"id\1\0\0\1\0\0\0\0\0\0" + data


def ask(zone: Zone, who: str, name: str, kind: str = "A") -> set[str] | int | None:
    """Return what is answered, the code of a refusal, or None when others are to be asked."""
    reply = zone.answer(who, DNSRecord.question(name, kind))
    if reply is None:
        return None
    if reply.header.rcode:
        return int(reply.header.rcode)
    assert all(record.rtype == getattr(QTYPE, kind) for record in reply.rr)
    return {str(record.rdata).rstrip(".") for record in reply.rr}


def test_names_aliases_and_names_with_the_network(zone: Zone) -> None:
    for name in ("web", "WEB.", "web.red"):
        assert ask(zone, "b", name) == {"10.0.0.2"}
    assert ask(zone, "c", "www") == {"10.0.0.2", "10.0.0.3"}
    assert ask(zone, "c", "db") == {"10.1.0.3"} and ask(zone, "c", "web2") == {"10.0.0.3"}


def test_who_is_on_another_network_is_not_known(zone: Zone) -> None:
    assert ask(zone, "a", "db") is None and ask(zone, "d", "web") is None
    assert ask(zone, "a", "web.blue") is None


def test_a_name_without_an_address_of_that_kind_is_a_name(zone: Zone) -> None:
    assert ask(zone, "b", "web", "AAAA") == {"fd00::2"}
    assert ask(zone, "b", "web2", "AAAA") == set()
    assert ask(zone, "b", "web", "MX") == set()


def test_addresses_have_names(zone: Zone) -> None:
    assert ask(zone, "b", "2.0.0.10.in-addr.arpa", "PTR") == {"web.red"}
    assert ask(zone, "c", "3.0.1.10.in-addr.arpa", "PTR") == {"db.blue"}
    assert ask(zone, "a", "3.0.1.10.in-addr.arpa", "PTR") is None


def test_from_an_internal_network_nobody_else_is_asked(zone: Zone) -> None:
    assert ask(zone, "e", "alone") == {"10.2.0.2"}
    assert ask(zone, "e", "example.com") == RCODE.NXDOMAIN


def test_who_is_gone_is_not_found(zone: Zone) -> None:
    zone.forget("a")
    assert ask(zone, "b", "web") is None and ask(zone, "b", "www") == {"10.0.0.3"}
    assert ask(zone, "a", "www") == RCODE.REFUSED
    zone.put(Container("b", (place("blue", "web2", at=("10.1.0.9",)),), ()))
    assert ask(zone, "d", "web2") == {"10.1.0.9"} and ask(zone, "c", "www") is None


@given(st.binary(max_size=80) | st.binary(min_size=4, max_size=60).map(_with_one_question))
def test_no_question_is_too_strange(data: bytes) -> None:
    zone = Zone()
    zone.put(Container("a", (place("red", "web", at=("10.0.0.2",)),), ()))
    query = question(data)
    if query:
        reply = zone.answer("a", query)
        assert reply is None or reply.pack()


def test_only_a_plain_question_is_one() -> None:
    """Pointers and many questions are made to keep others waiting."""
    plain = DNSRecord.question("web.red", "A").pack()
    parsed = question(plain)
    assert parsed and str(parsed.q.qname) == "web.red."
    with_edns = plain[:10] + b"\0\1" + plain[12:] + b"\0\0\x29\x10\0\0\0\0\0\0\0"
    assert question(with_edns)
    many = plain[:4] + b"\x27\x10" + plain[6:12] + b"\xc0\x0c\0\1\0\1" * 10000
    pointer = plain[:12] + b"\xc0\x0c\0\1\0\1"
    answer = plain[:2] + b"\x80" + plain[3:]
    long = plain[:12] + b"\x3fa" + b"a" * 62 + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1"
    for bad in (b"", plain[:11], plain[:-1], many, pointer, answer, long):
        assert question(bad) is None
