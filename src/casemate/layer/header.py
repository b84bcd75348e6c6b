"""The 512-byte header block of tar: its fields, numbers and checksum.

Source: POSIX.1-2017, pax, section "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

from casemate.layer.pax import BadRecord

BLOCK = 512
ZERO = bytes(BLOCK)

#: name, mode, uid, gid, size, mtime, checksum, type, linkname, magic, version, uname, gname,
#: major, minor, prefix
FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")

USTAR = b"ustar\0"
GNU = b"ustar "

_ADLER_BASE = 65521


@lru_cache(maxsize=4096)
def number(raw: bytes) -> int:
    """Return a number of a header: octal digits, or base-256. Raises BadRecord."""
    if raw[0] & 0x80:
        # The flag takes one bit; what is left is two's complement.
        bits = 8 * len(raw) - 1
        value = int.from_bytes(raw, "big") - (1 << bits)
        return value - (1 << bits) if raw[0] & 0x40 else value
    text = raw.strip(b" \0").partition(b"\0")[0]
    if not text:
        return 0
    try:
        if text.isdigit():
            return int(text, 8)
    except ValueError:
        pass
    raise BadRecord(f"has the header field {raw!r}, which is not an octal number")


def intact(block: bytes, checksum: bytes) -> bool:
    """Return whether the sum of all bytes of ``block`` is its field ``checksum``.

    The field itself counts as blanks. Some old tars summed signed bytes; that is accepted, too.
    """
    try:
        expected = number(checksum) + sum(checksum) - 8 * 0x20
    except BadRecord:
        return False
    # The low half of adler32 is 1 + the sum of the bytes, modulo a prime: 20 times faster.
    if (zlib.adler32(block) & 0xFFFF) == (expected + 1) % _ADLER_BASE:
        return True
    above = sum(1 for byte in block if byte > 127) - sum(1 for byte in checksum if byte > 127)
    return sum(block) - 256 * above == expected


def text(raw: bytes) -> bytes:
    """Return a text field up to its first NUL."""
    return raw.partition(b"\0")[0]


def pack(
    *,
    name: bytes,
    prefix: bytes,
    type_: bytes,
    mode: int,
    owner: tuple[int, int],
    size: int,
    seconds: int,
    target: bytes,
    device: tuple[int, int],
) -> bytes:
    """Return a ustar header block; every value must fit its field."""
    block = FIELDS.pack(
        name,
        b"%07o\0" % mode,
        b"%07o\0" % owner[0],
        b"%07o\0" % owner[1],
        b"%011o\0" % size,
        b"%011o\0" % seconds,
        b" " * 8,
        type_,
        target,
        USTAR,
        b"00",
        b"",
        b"",
        b"%07o\0" % device[0],
        b"%07o\0" % device[1],
        prefix,
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
