"""Who has which name, as one container sees it: pure functions of what the engine has told."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable, Iterator
from typing import Any

from dnslib import AAAA, PTR, QTYPE, RCODE, RR, A, DNSLabel, DNSRecord  # type: ignore[import-untyped]

from casemate.names.protocol import Container, Place

#: How long an answer may be kept, in seconds: containers come and go.
_TTL_S = 5
_REVERSE = (".in-addr.arpa", ".ip6.arpa")


class Zone:
    """The containers of an engine, and what they are called on each network."""

    def __init__(self) -> None:
        self._containers: dict[str, Container] = {}
        self._on: dict[str, dict[str, Place]] = {}

    def get(self, id_: str) -> Container | None:
        """Return what is known of a container."""
        return self._containers.get(id_)

    def put(self, container: Container) -> None:
        """Take note of a container, instead of what was known of it."""
        self.forget(container.id)
        self._containers[container.id] = container
        for place in container.places:
            self._on.setdefault(place.network, {})[container.id] = place

    def forget(self, id_: str) -> None:
        """Know nothing of a container any more."""
        before = self._containers.pop(id_, None)
        for place in before.places if before else ():
            there = self._on[place.network]
            del there[id_]
            if not there:
                del self._on[place.network]

    def answer(self, id_: str, query: DNSRecord) -> DNSRecord | None:
        """Return the answer to what the container ``id_`` asks, None when others must know it."""
        asker = self._containers.get(id_)
        if asker is None:
            return _refused(query)
        name, kind = str(query.q.qname).rstrip(".").lower(), query.q.qtype
        if name.endswith(_REVERSE):
            found: list[str] | None = list(self._names_at(asker, name)) or None
        else:
            found = self._addresses(asker, name)
        if found is not None:
            return _reply(query, kind, found)
        if all(place.internal for place in asker.places):
            return _refused(query, RCODE.NXDOMAIN)  # nothing leads out, names neither
        return None

    def _addresses(self, asker: Container, name: str) -> list[str] | None:
        """Return the addresses of ``name`` on the first network where somebody is called so."""
        for place in asker.places:
            there = self._on[place.network].values()
            found = [a for other in there if _is_called(other, name) for a in other.addresses]
            if found:
                random.shuffle(found)
                return found
        return None

    def _names_at(self, asker: Container, name: str) -> Iterator[str]:
        """Yield the names of who has the address that ``name`` is the reverse of."""
        for place in asker.places:
            for other in self._on[place.network].values():
                if any(ipaddress.ip_address(a).reverse_pointer == name for a in other.addresses):
                    yield f"{other.names[0]}.{place.name}"


def _is_called(place: Place, name: str) -> bool:
    plain = name.removesuffix(f".{place.name.lower()}")
    return any(name == one.lower() or plain == one.lower() for one in place.names)


def _reply(query: DNSRecord, kind: int, found: Iterable[str]) -> DNSRecord:
    reply = query.reply(ra=1)
    for text in found:
        record = _record(kind, text)
        if record is not None:
            reply.add_answer(RR(query.q.qname, kind, ttl=_TTL_S, rdata=record))
    return reply


def _record(kind: int, text: str) -> Any:
    if kind == QTYPE.PTR:
        return PTR(DNSLabel(text))
    version = 6 if ":" in text else 4
    if kind == QTYPE.A and version == 4:
        return A(text)
    if kind == QTYPE.AAAA and version == 6:
        return AAAA(text)
    return None  # there is such a name, and nothing of this kind


def _refused(query: DNSRecord, code: int = RCODE.REFUSED) -> DNSRecord:
    reply = query.reply(ra=1)
    reply.header.rcode = code
    return reply
