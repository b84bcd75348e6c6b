"""The messages between the engine and a shim. Source: shim/shim.h."""

from __future__ import annotations

import struct
from typing import NamedTuple

_HEAD = struct.Struct("<IIqq")

REQ_PREPARE = 1
REQ_START = 2
REQ_EXEC = 3
REQ_KILL = 4
REQ_ATTACH = 5
REQ_RESIZE = 6
REQ_STATUS = 7
REQ_RELAY = 8
REQ_UNRELAY = 9
REQ_NETLINK = 10
REQ_NURSERY = 11
REQ_FREE = 12

EV_READY = 64
EV_STARTED = 65
EV_FAILED = 66
EV_EXITED = 67
EV_DONE = 68
EV_STATUS = 69

ATTACH_STDIN = 1
ATTACH_STDOUT = 2
ATTACH_STDERR = 4
ATTACH_FRAMED = 8
ATTACH_OWNER = 16

#: The most detach keys that an attachment has.
KEYS_MAX = 16

#: The most that one message carries.
MAX_BYTES = _HEAD.size + 8192
MAX_DESCRIPTORS = 240


#: Which list of a plan a failing step is in. Source: shim.h, enum part.
PARTS = ("start", "outside", "ahead", "before")


class Message(NamedTuple):
    """One message. ``id`` is 0 for the container's first process; ``a`` and ``b`` depend on
    ``kind``.
    """

    kind: int
    id: int = 0
    a: int = 0
    b: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        """Return the bytes of this message."""
        return _HEAD.pack(self.kind, self.id, self.a, self.b) + self.payload


def decode(data: bytes) -> Message:
    """Return the message in ``data``, which a shim has sent."""
    kind, number, a, b = _HEAD.unpack_from(data)
    return Message(kind, number, a, b, data[_HEAD.size :])


_TARGET = struct.Struct("<HHHH16s")


class RelayTarget(NamedTuple):
    """Where a relay sends what arrives at a bound socket. ``address`` is 4 or 16 bytes."""

    family: int
    protocol: int
    port: int
    address: bytes

    def encode(self) -> bytes:
        """Return the bytes of this target. Source: shim.h, struct relay_target."""
        return _TARGET.pack(self.family, self.protocol, self.port, 0, self.address)
