"""What the engine tells the name server: one message a packet, descriptors beside it.

Whoever connects is told first which containers are served. Both sides are of one version: an
engine that finds another one ends it and starts its own.
"""

from __future__ import annotations

import msgspec

VERSION = 1
MAX_BYTES = 128 << 10
#: UDP and TCP socket inside the container's network, and a pidfd of its first process.
SERVED = 3


class Place(msgspec.Struct, frozen=True):
    """A container's place on a network: the names and the addresses that it has there."""

    network: str
    name: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    internal: bool


class Container(msgspec.Struct, frozen=True, tag="container"):
    """All that is known of a container; replaces what was. With descriptors, it is served."""

    id: str
    places: tuple[Place, ...]
    upstream: tuple[str, ...]


class Forget(msgspec.Struct, frozen=True, tag="forget"):
    """The container is on no network any more."""

    id: str


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """What the server says first: who it is, and the ids of the containers that it serves."""

    version: int
    pid: int
    serving: tuple[str, ...]


Told = Container | Forget

encode = msgspec.json.Encoder().encode
decode_told = msgspec.json.Decoder(Told).decode
decode_hello = msgspec.json.Decoder(Hello).decode
