"""Write tar entries: ustar where it can say everything, pax records where it cannot.

The same entries give the same bytes: no user names, no access times, nothing of this machine.
"""

from __future__ import annotations

from casemate.layer import header, pax
from casemate.layer.header import BLOCK
from casemate.layer.pax import XATTR, Record
from casemate.layer.tar import Entry, Kind

#: The end of an archive.
END = bytes(2 * BLOCK)

_TYPES: dict[Kind, bytes] = {
    "file": b"0",
    "link": b"1",
    "symlink": b"2",
    "character": b"3",
    "block": b"4",
    "directory": b"5",
    "fifo": b"6",
}
_SECOND = 1_000_000_000
_NAME_MAX, _PREFIX_MAX = 100, 155
#: Largest numbers in fields of 8 and of 12 bytes, one of them the final NUL.
_SHORT_MAX, _LONG_MAX = 0o7777777, 0o77777777777


def member(entry: Entry) -> bytes:
    """Return what comes before the data of ``entry``: its header, its pax header, its sparse map.

    ``stored`` bytes of data must follow, and ``padding(stored)``. The name of a directory gets its
    slash. ``offset`` means nothing here.
    """
    name = entry.name
    if entry.kind == "directory" and not name.endswith(b"/"):
        name += b"/"
    records: list[Record] = []
    table = b""
    if entry.extents is not None:
        table = _sparse_map(entry)
        records += _sparse_records(entry)
        name = b"GNUSparseFile.0/" + name.rpartition(b"/")[2]
    size = entry.stored + len(table)
    records += _records(entry, name, size)
    head = _header(entry, name, size)
    return (_pax_header(name, records) if records else b"") + head + table


def padding(size: int) -> bytes:
    """Return the zeros after ``size`` bytes of data."""
    return bytes(-size % BLOCK)


def _records(entry: Entry, name: bytes, size: int) -> list[Record]:
    """Return the pax records that ``entry`` needs, in a fixed order."""
    records: list[Record] = []
    if entry.extents is None and _split(name) is None:
        records.append((b"path", name))
    if len(entry.target) > _NAME_MAX:
        records.append((b"linkpath", entry.target))
    if size > _LONG_MAX:
        records.append((b"size", b"%d" % size))
    for key, value in ((b"uid", entry.uid), (b"gid", entry.gid)):
        if value > _SHORT_MAX:
            records.append((key, b"%d" % value))
    if not 0 <= entry.mtime_ns <= _LONG_MAX * _SECOND or entry.mtime_ns % _SECOND:
        records.append((b"mtime", _seconds(entry.mtime_ns)))
    for key, data in sorted((entry.xattrs or {}).items()):
        records.append((XATTR + key, data))
    return records


def _seconds(nanoseconds: int) -> bytes:
    seconds, fraction = divmod(abs(nanoseconds), _SECOND)
    sign = b"-" if nanoseconds < 0 else b""
    digits = (b".%09d" % fraction).rstrip(b"0") if fraction else b""
    return sign + b"%d" % seconds + digits


def _sparse_map(entry: Entry) -> bytes:
    """Return the map of a sparse file, in GNU's pax format 1.0, filled up to whole blocks.

    GNU tar takes the end of the last extent for the end of the file, so a hole there needs an
    extent of no bytes after it.
    """
    extents = entry.extents or ()
    if not extents or sum(extents[-1]) < entry.size:
        extents = (*extents, (entry.size, 0))
    numbers = [len(extents), *(number for extent in extents for number in extent)]
    table = b"".join(b"%d\n" % number for number in numbers)
    return table + padding(len(table))


def _sparse_records(entry: Entry) -> list[Record]:
    return [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", entry.name),
        (b"GNU.sparse.realsize", b"%d" % entry.size),
    ]


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Return prefix and name as ustar has them, or None when they do not fit."""
    if len(name) <= _NAME_MAX:
        return b"", name
    cut = name.rfind(b"/", 0, min(_PREFIX_MAX + 1, len(name) - 1))
    if cut <= 0 or len(name) - cut - 1 > _NAME_MAX:
        return None
    return name[:cut], name[cut + 1 :]


def _header(entry: Entry, name: bytes, size: int) -> bytes:
    prefix, name = _split(name) or (b"", name[:_NAME_MAX])
    seconds = entry.mtime_ns // _SECOND
    return header.pack(
        name=name,
        prefix=prefix,
        type_=_TYPES[entry.kind],
        mode=entry.mode,
        owner=(_fitting(entry.uid, _SHORT_MAX), _fitting(entry.gid, _SHORT_MAX)),
        size=_fitting(size, _LONG_MAX),
        seconds=_fitting(seconds, _LONG_MAX),
        target=entry.target[:_NAME_MAX],
        device=(entry.major, entry.minor),
    )


def _fitting(number: int, largest: int) -> int:
    """Return ``number``, or 0 when a pax record has it."""
    return number if 0 <= number <= largest else 0


def _pax_header(name: bytes, records: list[Record]) -> bytes:
    content = pax.render(records)
    place = b"PaxHeaders/" + name.rstrip(b"/").rpartition(b"/")[2]
    head = header.pack(
        name=place[:_NAME_MAX],
        prefix=b"",
        type_=b"x",
        mode=0o644,
        owner=(0, 0),
        size=len(content),
        seconds=0,
        target=b"",
        device=(0, 0),
    )
    return head + content + padding(len(content))
