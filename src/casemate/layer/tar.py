"""Read a tar of any dialect as a stream of entries: ustar, pax, GNU, v7, sparse files.

The reader looks at headers only; the data of an entry can be read before the next entry is asked
for, or found later by its offset. An archive ends at two blocks of zeros; what follows is not
looked at. Types that nobody knows are regular files, as GNU tar reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from casemate.errors import DataLoss, InvalidArgument
from casemate.layer import acl, header, pax, sparse
from casemate.layer.header import BLOCK, number, text
from casemate.layer.limits import DEFAULT, Limits
from casemate.layer.names import shown
from casemate.layer.pax import BadRecord, Record
from casemate.layer.sparse import Extent
from casemate.layer.stream import Buffer, Source

Kind = Literal["file", "link", "symlink", "character", "block", "directory", "fifo"]

_KINDS: dict[bytes, Kind] = {
    b"1": "link",
    b"2": "symlink",
    b"3": "character",
    b"4": "block",
    b"5": "directory",
    b"6": "fifo",
}
#: GNU's directory with a list of its names; the list is data to pass over.
_DUMP_DIRECTORY = b"D"
_PAX, _PAX_SOLARIS, _PAX_GLOBAL = b"x", b"X", b"g"
_LONG_NAME, _LONG_LINK, _VOLUME, _CONTINUED, _OLD_SPARSE = b"L", b"K", b"V", b"M", b"S"

_SPECIAL = frozenset((_PAX, _PAX_SOLARIS, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK, _VOLUME, _CONTINUED))
#: What a global header may not set, since it belongs to one entry.
_OF_ONE_ENTRY = (b"path", b"linkpath", b"size", b"GNU.sparse.")

_SECOND = 1_000_000_000
#: A pair of numbers in memory.
_EXTENT_BYTES = 120


class Entry(NamedTuple):
    """One member of an archive. ``name`` and ``target`` are as written, not yet judged.

    ``size`` is that of the file in bytes; ``stored`` bytes of it lie at ``offset`` of the archive,
    all of them unless ``extents`` says where they belong. ``target`` is of links of both kinds.
    """

    name: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0
    target: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[bytes, bytes] | None = None
    offset: int = 0
    stored: int = 0
    extents: tuple[Extent, ...] | None = None


class Reader:
    """The entries of the tar that ``source`` holds; iterate once.

    ``what`` names the archive in errors. Raises InvalidArgument for an archive that breaks a rule
    or exceeds ``limits``, DataLoss for one that ends too early.
    """

    def __init__(self, source: Source, what: str, limits: Limits = DEFAULT) -> None:
        self._source = source
        self._what = what
        self._limits = limits
        self._global: list[Record] = []
        self._pax: list[Record] | None = None
        self._long: dict[bytes, bytes] = {}
        self._left = 0
        self._padding = 0
        self._count = 0
        self._expanded = 0
        self._metadata = 0

    def __iter__(self) -> Iterator[Entry]:
        unpack, intact = header.FIELDS.unpack, header.intact
        while (block := self._next_block()) is not None:
            fields = unpack(block)
            try:
                if not intact(block, fields[6]):
                    raise BadRecord("has a wrong checksum: this is not a tar header")
                if fields[7] in _SPECIAL:
                    self._special(fields)
                    continue
                entry = self._entry(block, fields)
            except BadRecord as error:
                name = shown(text(fields[0]))
                place = f"the header of {name}, before byte {self._source.offset},"
                raise InvalidArgument(f"{self._what}: {place} {error}") from None
            yield entry
            self._leave()

    def data(self) -> Iterator[Buffer]:
        """Yield the stored bytes of the entry that was read last; each only once."""
        for piece in self._source.pieces(self._left):
            self._left -= len(piece)
            yield piece
        if self._left:
            raise self._cut("inside the data of an entry")

    def _next_block(self) -> bytes | None:
        """Return the next header block, or None at the end of the archive."""
        block = self._source.take(BLOCK)
        if block == header.ZERO:
            after = self._source.take(BLOCK)
            if after.strip(b"\0"):
                raise InvalidArgument(
                    f"{self._what}: a single block of zeros before byte {self._source.offset},"
                    " followed by more entries"
                )
            block = b""
        if len(block) == BLOCK:
            return block
        if block.strip(b"\0"):
            raise self._cut("inside a header")
        if self._pax is not None or self._long:
            raise self._cut("after an extended header")
        return None

    def _leave(self) -> None:
        """Pass over what is left of the current data; the padding of the last may be missing."""
        if self._left:
            if self._source.skip(self._left + self._padding) < self._left:
                raise self._cut("inside the data of an entry")
        elif self._padding:
            self._source.skip(self._padding)
        self._left = self._padding = 0

    def _cut(self, where: str) -> DataLoss:
        return DataLoss(f"{self._what}: the archive ends {where}, at byte {self._source.offset}")

    # Headers that describe the entry after them.

    def _special(self, fields: tuple[bytes, ...]) -> None:
        kind, size = fields[7], number(fields[4])
        if kind == _CONTINUED:
            raise BadRecord("continues a file of another volume")
        if kind == _VOLUME:
            self._left, self._padding = max(size, 0), -size % BLOCK
            self._leave()
            return
        data = self._content(size)
        if kind in (_LONG_NAME, _LONG_LINK):
            self._set_long(kind, data)
        elif kind == _PAX_GLOBAL:
            self._set_global(pax.parse(data, self._limits.pax_records))
        elif self._pax is not None:
            raise BadRecord("is the second pax header of one entry")
        else:
            self._pax = pax.parse(data, self._limits.pax_records)

    def _content(self, size: int) -> bytes:
        if not 0 <= size <= self._limits.pax_bytes:
            raise BadRecord(f"has an extended header of more than {self._limits.pax_bytes} bytes")
        self._left, self._padding = size, -size % BLOCK
        data = b"".join(self.data())
        self._leave()
        return data

    def _set_long(self, kind: bytes, data: bytes) -> None:
        if kind in self._long:
            raise BadRecord("is the second GNU long name of one entry")
        self._long[kind] = text(data)

    def _set_global(self, records: list[Record]) -> None:
        for key, _ in records:
            if key.startswith(_OF_ONE_ENTRY):
                raise BadRecord(f"sets {shown(key)} for all entries")
        fresh = dict(self._global) | dict(records)
        if len(fresh) > self._limits.pax_records:
            raise BadRecord(f"has more than {self._limits.pax_records} global records")
        self._global = list(fresh.items())

    # The entry itself.

    def _entry(self, block: bytes, fields: tuple[bytes, ...]) -> Entry:
        limits = self._limits
        self._count += 1
        if self._count > limits.entries:
            raise BadRecord(f"is one more than the limit of {limits.entries}")
        entry = self._plain(fields)
        records: list[Record] = []
        if self._pax is not None or self._long or self._global:
            records, self._pax = self._pax or [], None
            long, self._long = self._long, {}
            entry = _with_long_names(entry, long, records) if long else entry
            entry = self._with_records(entry, self._global + records)
        if entry.stored < 0:
            raise BadRecord("has a negative size")
        self._left = entry.stored
        self._padding = -entry.stored % BLOCK
        if entry.kind == "file" and (records or fields[7] == _OLD_SPARSE):
            entry = self._sparse(entry, block, records)
        self._expanded += entry.size
        if self._expanded > limits.expanded_bytes:
            raise BadRecord(f"takes the files past {limits.expanded_bytes} bytes in all")
        if len(entry.name) > limits.path_bytes or len(entry.target) > limits.path_bytes:
            raise BadRecord(f"has a name or link target longer than {limits.path_bytes} bytes")
        self._metadata += len(entry.name) + len(entry.target)
        if entry.xattrs or entry.extents:
            self._metadata += _extra_bytes(entry)
        if self._metadata > limits.metadata_bytes:
            raise BadRecord(f"takes names and attributes past {limits.metadata_bytes} bytes in all")
        return entry

    def _plain(self, fields: tuple[bytes, ...]) -> Entry:
        """Return the entry that the header alone describes; data of links and such is none."""
        name, type_ = text(fields[0]), fields[7]
        if fields[9] == header.USTAR and fields[15][0]:
            name = text(fields[15]) + b"/" + name
        kind = _KINDS.get(type_, "file")
        stored = number(fields[4]) if kind == "file" else 0
        size = stored
        if type_ == b"\0" and name.endswith(b"/"):
            kind, size, stored = "directory", 0, 0
        elif type_ == _DUMP_DIRECTORY:
            kind, size = "directory", 0
        is_device = kind in ("character", "block")
        return Entry(
            name,
            kind,
            number(fields[1]) & 0o7777,
            number(fields[2]),
            number(fields[3]),
            number(fields[5]) * _SECOND,
            size,
            text(fields[8]) if kind in ("link", "symlink") else b"",
            number(fields[13]) if is_device else 0,
            number(fields[14]) if is_device else 0,
            None,
            self._source.offset,
            stored,
        )

    def _with_records(self, entry: Entry, records: list[Record]) -> Entry:
        """Return the entry as pax records change it; an empty value takes a record back."""
        values = dict(records)
        xattrs = {
            key[len(pax.XATTR) :]: value
            for key, value in values.items()
            if key.startswith(pax.XATTR)
        }
        values = {key: value for key, value in values.items() if value}
        for record, name in acl.RECORDS.items():
            if record in values and (value := acl.attribute(values[record])):
                xattrs.setdefault(name, value)
        changes: dict[str, object] = {}
        if xattrs:
            changes["xattrs"] = self._bounded(xattrs)
        if b"path" in values:
            changes["name"] = _whole(values[b"path"], "path")
        if b"GNU.sparse.name" in values:
            changes["name"] = _whole(values[b"GNU.sparse.name"], "path")
        if b"linkpath" in values and entry.kind in ("link", "symlink"):
            changes["target"] = _whole(values[b"linkpath"], "linkpath")
        if b"size" in values and entry.kind == "file":
            changes["size"] = changes["stored"] = pax.number(values[b"size"], "size")
        if b"mtime" in values:
            changes["mtime_ns"] = pax.nanoseconds(values[b"mtime"])
        for key in ("uid", "gid"):
            if key.encode() in values:
                changes[key] = pax.number(values[key.encode()], key)
        return entry._replace(**changes) if changes else entry  # type: ignore[arg-type]

    def _bounded(self, xattrs: dict[bytes, bytes]) -> dict[bytes, bytes]:
        total = _total_bytes(xattrs)
        if total > self._limits.xattr_bytes:
            raise BadRecord(
                f"has extended attributes of more than {self._limits.xattr_bytes} bytes"
            )
        return xattrs

    def _sparse(self, entry: Entry, block: bytes, records: list[Record]) -> Entry:
        limit = self._limits.extents
        found = sparse.from_pax(records, self._source, limit) if records else None
        if found is None and block[156:157] == _OLD_SPARSE:
            found = sparse.from_old(block, self._source, limit)
        if found is None:
            return entry
        found = sparse.checked(found, entry.stored, limit)
        self._left = entry.stored - found.map_bytes
        return entry._replace(
            size=found.size,
            stored=self._left,
            extents=found.extents,
            offset=self._source.offset,
        )


def _total_bytes(xattrs: dict[bytes, bytes]) -> int:
    return sum(len(name) + len(value) for name, value in xattrs.items())


def _extra_bytes(entry: Entry) -> int:
    """Return what attributes and extents take in memory."""
    return _total_bytes(entry.xattrs or {}) + _EXTENT_BYTES * len(entry.extents or ())


def _with_long_names(entry: Entry, long: dict[bytes, bytes], records: list[Record] | None) -> Entry:
    """Return the entry with the names of GNU's L and K headers before it."""
    both = {key for key, _ in records or ()} & {b"path", b"linkpath"}
    if both:
        raise BadRecord("has both a pax name and a GNU long name")
    name = long.get(_LONG_NAME, entry.name)
    target = long.get(_LONG_LINK, entry.target)
    return entry._replace(name=name, target=target)


def _whole(value: bytes, key: str) -> bytes:
    if b"\0" in value:
        raise BadRecord(f"has a {key} with a NUL byte")
    return value
