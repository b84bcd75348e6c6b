"""Files of an image archive on their way in: documents are kept, the others are stored as layers.

Archives come as streams, and the document that explains the rest may be the last. So every file
that could be a layer is stored as one while it passes; what nothing refers to is collected later.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from casemate.content.lease import Lease
from casemate.errors import Error, InvalidArgument
from casemate.image.store import ImageStore
from casemate.layer import compression
from casemate.layer.stream import Stream
from casemate.layer.tar import Entry, Reader
from casemate.oci.digest import Digest

#: Documents (manifests, configs) are at most this large, and all of an archive's together.
_DOCUMENT_BYTES = 8 << 20
_ALL_DOCUMENTS_BYTES = 64 << 20
#: An archive of several images, decompressed.
_ARCHIVE_BYTES = 1 << 42
#: So small a file is no tar.
_TINY = 512
_MAX_LINKS = 10_000
#: Files that are no documents: layers, if anything refers to them.
_MAX_LAYERS = 10_000


class StoredLayer(NamedTuple):
    """A file that is a layer: what it is uncompressed, and the file itself. ``size`` in bytes."""

    diff_id: Digest
    digest: Digest
    size: int


class Files:
    """What an archive holds, by path."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.documents: dict[str, bytes] = {}
        self.layers: dict[str, StoredLayer] = {}
        self.failed: dict[str, Error] = {}
        self.links: dict[str, str] = {}

    def has(self, path: str) -> bool:
        """Tell whether there is a document at ``path``."""
        return self._resolve(path) in self.documents

    def document(self, path: str) -> bytes:
        """Return the document at ``path``. Raises InvalidArgument."""
        data = self.documents.get(self._resolve(path))
        if data is None:
            raise InvalidArgument(f"{self.what}: there is no document {path[:200]!r}")
        return data

    def layer(self, path: str) -> StoredLayer:
        """Return the layer at ``path``. Raises InvalidArgument, or why it is not one."""
        name = self._resolve(path)
        if name in self.failed:
            raise self.failed[name]
        if name not in self.layers:
            raise InvalidArgument(f"{self.what}: there is no layer {path[:200]!r}")
        return self.layers[name]

    def _resolve(self, path: str) -> str:
        # A layer that two images share was once saved as a link.
        name = normal(path)
        for _ in range(8):
            target = self.links.get(name)
            if target is None:
                return name
            name = target
        raise InvalidArgument(f"{self.what}: too long a chain of links at {path[:200]!r}")


def read(store: ImageStore, chunks: Iterable[bytes], lease: Lease, what: str) -> Files:
    """Read the archive ``what``, compressed or not, to its end.

    What may be a layer is stored under ``lease``.
    """
    files = Files(what)
    stream = Stream(compression.decompress(chunks, None, what, _ARCHIVE_BYTES))
    reader = Reader(stream, what)
    total = 0
    for entry in reader:
        path = normal(entry.name.decode("utf-8", "surrogateescape"))
        if entry.kind in ("link", "symlink"):
            _take_link(files, path, entry)
        elif entry.kind == "file":
            data = (bytes(piece) for piece in reader.data())
            start = _start(data)
            if entry.size <= _DOCUMENT_BYTES and _is_document(start, entry.size):
                total += entry.size
                if total > _ALL_DOCUMENTS_BYTES:
                    raise InvalidArgument(f"{what}: more than {_ALL_DOCUMENTS_BYTES} bytes of JSON")
                files.documents[path] = start + b"".join(data)
            else:
                _take_layer(store, files, path, _joined(start, data), lease)
    stream.drain()
    return files


def normal(path: str) -> str:
    """Return ``path`` without the dots and slashes that say nothing; only ever a key, not a
    place.
    """
    return posixpath.normpath("/" + path).lstrip("/")


def _start(data: Iterator[bytes]) -> bytes:
    start = b""
    for piece in data:
        start += piece
        if len(start) >= _TINY:
            break
    return start


def _is_document(start: bytes, size: int) -> bool:
    if start[257:262] == b"ustar":
        return False
    if start.lstrip()[:1] in (b"{", b"["):
        return True
    # The few small files of an archive that are not JSON: VERSION, for one.
    return size < _TINY and compression.detect(start) == "none"


def _joined(start: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield start
    yield from rest


def _take_link(files: Files, path: str, entry: Entry) -> None:
    if len(files.links) >= _MAX_LINKS:
        raise InvalidArgument(f"{files.what}: more than {_MAX_LINKS} links")
    target = entry.target.decode("utf-8", "surrogateescape")
    base = "" if entry.kind == "link" else posixpath.dirname(path)
    files.links[path] = normal(posixpath.join(base, target))


def _take_layer(
    store: ImageStore, files: Files, path: str, data: Iterator[bytes], lease: Lease
) -> None:
    """Store one file as a layer. That it is none matters only if something refers to it."""
    if len(files.layers) + len(files.failed) >= _MAX_LAYERS:
        raise InvalidArgument(f"{files.what}: more than {_MAX_LAYERS} files")
    state = hashlib.sha256()
    size = 0

    def hashed() -> Iterator[bytes]:
        nonlocal size
        for piece in data:
            state.update(piece)
            size += len(piece)
            yield piece

    pieces = hashed()
    try:
        layer = store.layers.ingest(pieces, what=f"{path[:200]} of {files.what}", protect=lease.add)
    except InvalidArgument as error:
        files.failed[path] = error
        return
    for _ in pieces:
        pass  # what follows the end of the tar is part of the file's digest
    digest = Digest(f"sha256:{state.hexdigest()}")
    files.layers[path] = StoredLayer(layer.diff_id, digest, size)
