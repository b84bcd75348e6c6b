"""The layers of an engine: each one its uncompressed tar, named by the digest of its bytes.

    layers/sha256/<hex>/tar           the archive, filled up with zeros to whole blocks
                       /index.erofs   what makes it mountable (see ``index``)
                       /side          sparse files laid out; only if the layer has some
                       /layer.json    what is known of it (see ``ingest.Record``)
    layers/ingest/<random>/           a layer on its way in or out; locked by who works on it

A layer appears complete, by one rename, or not at all; it never changes after that.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import msgspec

from casemate.errors import DataLoss, Error, InvalidArgument, NotFound, Unsupported, from_os
from casemate.layer import index, ingest, scratch, verify
from casemate.layer.compression import decompress
from casemate.layer.ingest import Record, Source
from casemate.layer.limits import DEFAULT, Limits
from casemate.layer.stream import Buffer, TarFile
from casemate.oci import digest as digests
from casemate.oci.digest import Digest
from casemate.oci.media import Compression

_ALGORITHMS = ("sha256", "sha512")


@dataclass(frozen=True, slots=True)
class Layer:
    """A stored layer. ``path`` is its directory, ``record`` what is known of it."""

    path: str
    record: Record

    @property
    def diff_id(self) -> Digest:
        return self.record.diff_id

    @property
    def size_bytes(self) -> int:
        """Size of the archive, uncompressed."""
        return self.record.size

    @property
    def index(self) -> str:
        return f"{self.path}/{ingest.INDEX}"

    @property
    def devices(self) -> tuple[str, ...]:
        """The files that the index refers to, in its order."""
        names = (ingest.TAR, ingest.SIDE) if self.record.side_size else (ingest.TAR,)
        return tuple(f"{self.path}/{name}" for name in names)


Protect = Callable[[Digest], object]


class LayerStore:
    """The layers below ``root``/layers; safe for any number of threads and processes."""

    def __init__(self, root: str) -> None:
        """Open or create the store; only its owner may enter it."""
        self._top = f"{root}/layers"
        self._ingest = f"{self._top}/ingest"
        try:
            os.makedirs(root, 0o700, exist_ok=True)
            os.makedirs(self._top, 0o700, exist_ok=True)
            os.chmod(self._top, 0o700)
            for name in ("ingest", *_ALGORITHMS):
                os.makedirs(f"{self._top}/{name}", 0o700, exist_ok=True)
        except OSError as error:
            raise from_os(error, f"cannot open the layer store {self._top}") from error

    def _path(self, diff_id: Digest) -> str:
        algorithm, _, encoded = digests.parse(diff_id).partition(":")
        return f"{self._top}/{algorithm}/{encoded}"

    def ingest(
        self,
        chunks: Iterable[Buffer],
        *,
        what: str,
        expected: Digest | None = None,
        compression: Compression | None = None,
        limits: Limits = DEFAULT,
        protect: Protect | None = None,
    ) -> Layer:
        """Store the layer whose bytes, compressed or not, are ``chunks``.

        ``what`` names it in errors. ``compression`` None looks at the first bytes. With
        ``expected``, a layer that is there already is returned without reading a chunk, and one
        whose bytes are others is DataLoss. InvalidArgument for an archive that breaks a rule or a
        limit. After an error nothing is left. ``protect`` is told the DiffID before the layer is
        there, so that no collection can take it away before something refers to it.
        """
        if expected is not None and self.has(expected):
            return self.get(expected)
        source = Source(what, limits, expected)
        with self._working(f"cannot store {what}") as work:
            limit = min(limits.archive_bytes, index.DEVICE_BYTES)
            pieces = decompress(_read(chunks, what), compression, what, limit)
            record = ingest.receive(pieces, source, work.descriptor)
            if protect:
                protect(record.diff_id)
            return self._publish(work, record)

    @contextlib.contextmanager
    def _working(self, what: str) -> Iterator[scratch.Scratch]:
        """Give a directory of our own below ingest/, gone afterwards unless it was moved."""
        try:
            with scratch.make(self._ingest) as work:
                yield work
        except OSError as error:
            raise from_os(error, what) from error

    def _publish(self, work: scratch.Scratch, record: Record) -> Layer:
        path = self._path(record.diff_id)
        try:
            os.rename(work.path, path)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            return self.get(record.diff_id)  # somebody else was faster; ours goes
        scratch.sync_directory(os.path.dirname(path))
        return Layer(path, record)

    def has(self, diff_id: Digest) -> bool:
        """Return whether the layer is stored."""
        return os.path.isdir(self._path(diff_id))

    def get(self, diff_id: Digest) -> Layer:
        """Return the layer. Raises NotFound, DataLoss for an unreadable record, Unsupported."""
        path = self._path(diff_id)
        try:
            with open(f"{path}/{ingest.RECORD}", "rb") as file:
                record = msgspec.json.decode(file.read(), type=Record)
        except FileNotFoundError:
            raise self._missing(diff_id) from None
        except msgspec.DecodeError as error:
            raise DataLoss(f"the record of layer {diff_id} is damaged: {error}") from error
        if record.diff_id != diff_id:
            raise DataLoss(f"the record of layer {diff_id} is that of {record.diff_id}")
        if record.version != index.VERSION:
            raise Unsupported(
                f"layer {diff_id} has an index of version {record.version},"
                f" this casemate makes version {index.VERSION}",
                hint="remove the image and pull it again",
            )
        return Layer(path, record)

    def _missing(self, diff_id: Digest) -> Error:
        if self.has(diff_id):
            return DataLoss(f"layer {diff_id} has no record")
        return NotFound(f"no such layer: {diff_id}")

    def walk(self) -> Iterator[Digest]:
        """Yield the DiffIDs of all layers, in no order."""
        for name in self._names():
            with contextlib.suppress(InvalidArgument):
                yield digests.parse(name)

    def strays(self) -> Iterator[str]:
        """Yield the paths of what is among the layers and is none."""
        for name in self._names():
            try:
                digests.parse(name)
            except InvalidArgument:
                yield f"{self._top}/{name.replace(':', '/', 1)}"

    def _names(self) -> Iterator[str]:
        for algorithm in _ALGORITHMS:
            try:
                names = os.listdir(f"{self._top}/{algorithm}")
            except OSError as error:
                raise from_os(error, "cannot list the layers") from error
            for encoded in names:
                yield f"{algorithm}:{encoded}"

    def open_tar(self, diff_id: Digest) -> TarFile:
        """Open the archive for reading: exactly the bytes that the DiffID is the digest of."""
        layer = self.get(diff_id)
        try:
            return TarFile(layer.devices[0], layer.size_bytes)
        except OSError as error:
            raise from_os(error, f"cannot open layer {diff_id}") from error

    def verify(self, diff_id: Digest) -> None:
        """Read the layer and compare it with its DiffID, and its index with a new one.

        Raises DataLoss, naming what differs; NotFound.
        """
        layer = self.get(diff_id)
        with self._working(f"cannot verify layer {diff_id}") as work:
            verify.compare(layer.path, layer.record, work.descriptor)

    def usage(self, diff_id: Digest) -> int:
        """Return what the layer takes on disk, in bytes."""
        path = self.get(diff_id).path
        try:
            return sum(os.lstat(f"{path}/{name}").st_blocks * 512 for name in os.listdir(path))
        except OSError as error:
            raise from_os(error, f"cannot measure layer {diff_id}") from error

    def delete(self, diff_id: Digest) -> None:
        """Remove the layer; what has it mounted or open keeps it until then. Raises NotFound."""
        path = self._path(diff_id)
        try:
            if not scratch.take_away(path, self._ingest):
                raise NotFound(f"no such layer: {diff_id}")
        except OSError as error:
            raise from_os(error, f"cannot remove layer {diff_id}") from error

    def clean(self) -> int:
        """Remove what a crash left half done, and return how many; living work is left alone."""
        try:
            return scratch.clean(self._ingest)
        except OSError as error:
            raise from_os(error, f"cannot clean {self._ingest}") from error


def _read(chunks: Iterable[Buffer], what: str) -> Iterator[Buffer]:
    """Yield the chunks; an OSError is that of their source, not of the store."""
    try:
        yield from chunks
    except OSError as error:
        raise from_os(error, f"cannot read {what}") from error
