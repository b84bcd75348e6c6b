"""The one pass from a stream of uncompressed bytes to the files of a layer in a directory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from casemate.errors import DataLoss, InvalidArgument
from casemate.layer import index
from casemate.layer.copying import copy_range
from casemate.layer.index import BLOCK
from casemate.layer.limits import Limits
from casemate.layer.pipeline import Stage
from casemate.layer.stream import Source as Bytes
from casemate.layer.stream import Stream
from casemate.layer.tar import Reader
from casemate.layer.tree import Node, Tree
from casemate.oci.digest import Digest

TAR, INDEX, SIDE, RECORD = "tar", "index.erofs", "side", "layer.json"

#: Sparse files begin at whole pages of the side file.
_SIDE_ALIGNMENT = 4096


class Root(msgspec.Struct, frozen=True, rename="camel"):
    """What the archive says of the root directory itself."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int


class Record(msgspec.Struct, frozen=True, rename="camel"):
    """What layer.json holds. ``root`` is None when the archive has no entry for the root.

    ``size`` is that of the archive in bytes, without the zeros that fill up its file; ``hides_all``
    tells that the layer hides everything below it (an opaque whiteout in the root).
    """

    version: int
    diff_id: Digest
    size: int
    inodes: int
    index_size: int
    side_size: int
    hides_all: bool
    root: Root | None


class Parsed(NamedTuple):
    """The nodes of a layer, the size of the side file they need, and what is said of the root."""

    nodes: list[Node]
    side_size: int
    root: Root | None


class Source(NamedTuple):
    """A stream to be received: how it is named in errors, its limits, and what its digest must be.

    ``expected`` is None where nobody knows.
    """

    what: str
    limits: Limits
    expected: Digest | None = None


def receive(pieces: Iterable[bytes], source: Source, directory: int) -> Record:
    """Store the archive in ``pieces`` with its index in ``directory``; all files are synced.

    Hashing and writing, reading the headers, and producing the pieces happen at the same time.
    Raises InvalidArgument and DataLoss for the archive, OSError for the files.
    """
    tar = os.open(TAR, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        with ThreadPoolExecutor(2, "ingest") as pool:
            with (
                Stage(pool, lambda chunks: _keep(chunks, tar, source.expected)) as keeping,
                Stage(pool, lambda chunks: _parse_chunks(chunks, source)) as parsing,
            ):
                for piece in pieces:
                    keeping.put(piece)
                    parsing.put(piece)
                diff_id, size = keeping.result()
                parsed = parsing.result()
            if source.expected not in (None, diff_id):
                raise DataLoss(
                    f"{source.what}: its digest is {diff_id}, {source.expected} was expected"
                )
            syncing = pool.submit(os.fsync, tar)
            record = build(parsed, diff_id, size, tar, directory)
            _write_record(record, directory)
            syncing.result()
    finally:
        os.close(tar)
    os.fsync(directory)
    return record


def _keep(chunks: Iterator[bytes], tar: int, expected: Digest | None) -> tuple[Digest, int]:
    """Write the chunks to ``tar``; return their digest and their size."""
    algorithm = expected.partition(":")[0] if expected else "sha256"
    running = hashlib.new(algorithm)
    size = 0
    for chunk in chunks:
        running.update(chunk)
        size += len(chunk)
        _write_all(tar, chunk)
    _write_all(tar, bytes(-size % BLOCK))
    return Digest(f"{algorithm}:{running.hexdigest()}"), size


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _parse_chunks(chunks: Iterator[bytes], source: Source) -> Parsed:
    """Parse the archive and pass over what follows its end."""
    stream = Stream(chunks)
    parsed = parse(stream, source)
    stream.drain()
    return parsed


def parse(stream: Bytes, source: Source) -> Parsed:
    """Return what the archive in ``stream`` adds up to."""
    tree = Tree(source.what, source.limits)
    for entry in Reader(stream, source.what, source.limits):
        tree.add(entry)
    nodes = tree.finish()
    side_size = sum(_side_bytes(node) for node in nodes)
    if side_size > index.DEVICE_BYTES:
        raise InvalidArgument(f"{source.what}: sparse files of {side_size} bytes in all")
    top = nodes[0]
    named = Root(top.mode, top.uid, top.gid, top.mtime_ns) if tree.root_named else None
    return Parsed(nodes, side_size, named)


def build(parsed: Parsed, diff_id: Digest, size: int, tar: int, directory: int) -> Record:
    """Write the side file, if any, and the index into ``directory``; both are synced."""
    nodes, side_size, root = parsed
    places = _places(nodes)
    if side_size:
        _write_side(places, side_size, tar, directory)
    data = index.Data(-(-size // BLOCK), side_size // BLOCK, places)
    with open(INDEX, "xb", opener=_opener(directory)) as file:
        index_size = index.write(nodes, file, data, bytes.fromhex(diff_id.partition(":")[2])[:16])
        file.flush()
        os.fsync(file.fileno())
    return Record(
        version=index.VERSION,
        diff_id=diff_id,
        size=size,
        inodes=len(nodes),
        index_size=index_size,
        side_size=side_size,
        hides_all=nodes[0].opaque,
        root=root,
    )


def _side_bytes(node: Node) -> int:
    """Return what a file takes in the side file: nothing unless it is sparse."""
    if node.extents is None:
        return 0
    return -(-node.size // _SIDE_ALIGNMENT) * _SIDE_ALIGNMENT


def _places(nodes: list[Node]) -> dict[Node, int]:
    """Return the offset in the side file of each sparse file."""
    places = {}
    end = 0
    for node in nodes:
        if node.extents is not None:
            places[node] = end
            end += _side_bytes(node)
    return places


def _write_side(places: dict[Node, int], size: int, tar: int, directory: int) -> None:
    with open(SIDE, "xb", buffering=0, opener=_opener(directory)) as file:
        side = file.fileno()
        os.ftruncate(side, size)
        for node, start in places.items():
            stored = node.offset
            for offset, length in node.extents or ():
                copy_range(tar, stored, side, start + offset, length)
                stored += length
        os.fsync(side)


def _write_record(record: Record, directory: int) -> None:
    with open(RECORD, "xb", opener=_opener(directory)) as file:
        file.write(msgspec.json.encode(record))
        file.flush()
        os.fsync(file.fileno())


def _opener(directory: int) -> Callable[[str, int], int]:
    """Return an opener for ``open`` that looks for names in ``directory``."""
    return lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o600, dir_fd=directory)
