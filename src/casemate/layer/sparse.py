"""Sparse files in tar: where the stored bytes belong in the file.

Four forms are in use, all by GNU tar: the old one with a map in the header and following blocks,
and pax 0.0 (repeated records), 0.1 (one record) and 1.0 (a map before the data). Source: GNU tar
manual, "Storing Sparse Files".
"""

from __future__ import annotations

from typing import NamedTuple

from casemate.layer import pax
from casemate.layer.header import BLOCK, number
from casemate.layer.pax import BadRecord, Record
from casemate.layer.stream import Source

#: Offset in the file and length, both in bytes; in order of the file and of the archive.
Extent = tuple[int, int]


class Sparse(NamedTuple):
    """The size of a sparse file and its extents; ``map_bytes`` of the data are the map itself."""

    size: int
    extents: tuple[Extent, ...]
    map_bytes: int = 0


def checked(sparse: Sparse, stored: int, limit: int) -> Sparse:
    """Return ``sparse`` without empty extents, or raise BadRecord for a map that is not sane.

    ``stored`` is the size in the archive, the map included.
    """
    extents = tuple(extent for extent in sparse.extents if extent[1])
    if len(extents) > limit:
        raise BadRecord(f"has more than {limit} extents")
    end = 0
    for offset, length in extents:
        if offset < end:
            raise BadRecord("has extents that overlap or go back")
        end = offset + length
    if any(length % BLOCK for _, length in extents[:-1]):
        # Readers do not agree whether the data of the next one begins at once or at a block.
        raise BadRecord("has an extent that ends inside a block")
    if end > sparse.size:
        raise BadRecord("has an extent past the end of the file")
    total = sum(length for _, length in extents)
    if total != stored - sparse.map_bytes:
        raise BadRecord(f"has extents of {total} bytes over {stored - sparse.map_bytes} stored")
    return Sparse(sparse.size, extents, sparse.map_bytes)


def from_old(header: bytes, source: Source, limit: int) -> Sparse:
    """Return the map of an old GNU sparse header (type S); its extension blocks are taken."""
    size = number(header[483:495])
    extents = _old_extents(header[386:482])
    more = header[482]
    while more:
        block = source.take(BLOCK)
        if len(block) < BLOCK:
            raise BadRecord("ends inside its map")
        extents += _old_extents(block[:504])
        more = block[504]
        if len(extents) > limit:
            raise BadRecord(f"has more than {limit} extents")
    return Sparse(size, tuple(extents))


def _old_extents(table: bytes) -> list[Extent]:
    found = []
    for at in range(0, len(table), 24):
        if not table[at + 12]:
            break
        found.append((number(table[at : at + 12]), number(table[at + 12 : at + 24])))
    return found


def from_pax(records: list[Record], source: Source, limit: int) -> Sparse | None:
    """Return the map that pax records announce, or None when they announce none.

    For version 1.0 the map is taken from the data.
    """
    values = dict(records)
    version = values.get(b"GNU.sparse.major"), values.get(b"GNU.sparse.minor")
    if version == (b"1", b"0"):
        return _from_data(values, source, limit)
    if version not in ((None, None), (b"0", b"0"), (b"0", b"1")):
        raise BadRecord("has an unknown version of sparse files")
    if b"GNU.sparse.map" in values:
        numbers = values[b"GNU.sparse.map"].split(b",")
    elif b"GNU.sparse.numblocks" in values or b"GNU.sparse.offset" in values:
        numbers = _repeated(records)
    else:
        return None
    return Sparse(_size(values), _pairs(numbers))


def _repeated(records: list[Record]) -> list[bytes]:
    expected = b"GNU.sparse.offset"
    numbers = []
    for key, value in records:
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            if key != expected:
                raise BadRecord("has sparse offsets and lengths out of order")
            numbers.append(value)
            expected = b"GNU.sparse.numbytes" if key.endswith(b"offset") else b"GNU.sparse.offset"
    return numbers


def _size(values: dict[bytes, bytes]) -> int:
    size = values.get(b"GNU.sparse.realsize", values.get(b"GNU.sparse.size"))
    if size is None:
        raise BadRecord("has a sparse file without a size")
    return pax.number(size, "sparse size")


def _pairs(numbers: list[bytes]) -> tuple[Extent, ...]:
    if len(numbers) % 2:
        raise BadRecord("has a sparse offset without a length")
    plain = [pax.number(text, "sparse map") for text in numbers if text or len(numbers) > 1]
    return tuple(zip(plain[::2], plain[1::2], strict=True))


def _from_data(values: dict[bytes, bytes], source: Source, limit: int) -> Sparse:
    """Read ``count\\n`` and then ``offset\\nlength\\n`` so often, padded to whole blocks."""
    start = source.offset
    lines: list[bytes] = []
    rest = b""
    wanted = 1
    while len(lines) < wanted:
        block = source.take(BLOCK)
        if len(block) < BLOCK:
            raise BadRecord("ends inside its map")
        *whole, rest = (rest + block).split(b"\n")
        if len(rest) > BLOCK:
            raise BadRecord("has a sparse map without an end")
        lines += whole
        if lines and wanted == 1:
            wanted += 2 * pax.number(lines[0], "sparse map")
            if wanted > 2 * limit:
                raise BadRecord(f"has more than {limit} extents")
    return Sparse(_size(values), _pairs(lines[1:wanted]), source.offset - start)
