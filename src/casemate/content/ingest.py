"""One blob being written: hashed as it comes, durable and named once it is proved.

A blob whose digest is known before is written to ``ingests/<algorithm>-<hex>``; what a crash leaves
there is read back, hashed and continued. A blob whose digest is known only afterwards gets a random
name and does not survive its process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from casemate.content.files import naming, sync_directory
from casemate.content.layout import Layout
from casemate.content.lease import Lease
from casemate.errors import DataLoss, FailedPrecondition, from_os
from casemate.oci import digest as digests
from casemate.oci.digest import Digest

_PIECE = 256 << 10


class Ingest:
    """A writer for one thread. ``offset`` is the number of bytes written so far."""

    def __init__(self, layout: Layout, lease: Lease, path: str, descriptor: int) -> None:
        """Write to the locked file ``descriptor`` at ``path``; ``ContentStore`` makes these."""
        self._layout = layout
        self._lease = lease
        self._path = path
        self._descriptor = descriptor
        self._hash = hashlib.sha256()
        self.offset = 0

    @property
    def what(self) -> str:
        """The blob's name in messages."""
        return "a new blob"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append ``data``. Raises Unavailable when the disk is full; the call may be repeated."""
        view = memoryview(data).cast("B")
        position = self.offset
        try:
            while view:
                # At an offset of our own, so that a repeated call overwrites what half succeeded.
                done = os.pwrite(self._open(), view, position)
                position, view = position + done, view[done:]
        except OSError as error:
            raise from_os(error, f"cannot write {self.what}") from error
        self._hash.update(data)
        self.offset = position

    def commit(self) -> Digest:
        """Prove the blob, make it durable, give it its name and return its digest."""
        digest = Digest(f"{self._hash.name}:{self._hash.hexdigest()}")
        self._lease.add(digest)
        self._place(digest)
        return digest

    def _place(self, digest: Digest) -> None:
        target = self._layout.blob(digest)
        with naming(f"cannot store {self.what}"):
            os.ftruncate(self._open(), self.offset)
            os.fchmod(self._descriptor, 0o400)
            os.fsync(self._descriptor)
            os.rename(self._path, target)
            self._forget()
            sync_directory(os.path.dirname(target))

    def abort(self) -> None:
        """Give up and remove what was written. Idempotent."""
        if self._descriptor >= 0:
            with naming(f"cannot remove {self.what}"):
                os.unlink(self._path)
                self._forget()

    def close(self) -> None:
        """Stop writing. Idempotent, and allowed after ``commit``."""
        self.abort()

    def _forget(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> int:
        if self._descriptor < 0:
            raise FailedPrecondition(f"cannot write {self.what}: it is closed")
        return self._descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ResumableIngest(Ingest):
    """Writes the blob ``digest`` of ``size`` bytes; ``close`` keeps what there is for later.

    ``resumed`` is the offset at which an earlier attempt had stopped.
    """

    def __init__(
        self, layout: Layout, lease: Lease, descriptor: int, digest: Digest, size: int
    ) -> None:
        super().__init__(layout, lease, layout.partial(digest), descriptor)
        self.digest = digest
        self.size = size
        self._hash = hashlib.new(digests.algorithm(digest))
        self._read_back()
        self.resumed = self.offset

    @property
    def what(self) -> str:
        return f"blob {self.digest}"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append ``data``; more than ``size`` bytes are refused with DataLoss."""
        if self.offset + memoryview(data).nbytes > self.size:
            raise DataLoss(f"{self.what} is longer than the {self.size} bytes it should have")
        super().write(data)

    def read_partial(self, piece_bytes: int) -> Iterator[bytes]:
        """Yield what was written up to now, for a reader that needs the blob from its beginning."""
        position, end = 0, self.offset
        while position < end:
            with naming(f"cannot read back {self.what}"):
                piece = os.pread(self._open(), min(piece_bytes, end - position), position)
            if not piece:
                raise DataLoss(f"{self.what}: its beginning was cut off at {position} bytes")
            position += len(piece)
            yield piece

    def commit(self) -> Digest:
        """Store the blob when it is whole. Raises DataLoss.

        Too short a blob can still be continued; bytes that do not fit the digest are removed.
        """
        if self.offset != self.size:
            raise DataLoss(f"{self.what} has {self.offset} bytes instead of {self.size}")
        found = self._hash.hexdigest()
        if found != digests.encoded(self.digest):
            self.abort()
            raise DataLoss(f"{self.what} has the digest {self._hash.name}:{found} instead")
        self._place(self.digest)
        return self.digest

    def restart(self) -> None:
        """Forget what was written, and begin at offset 0."""
        with naming(f"cannot restart {self.what}"):
            os.ftruncate(self._open(), 0)
        self._hash = hashlib.new(digests.algorithm(self.digest))
        self.offset = self.resumed = 0

    def close(self) -> None:
        """Stop writing and keep what was written, to be continued. Idempotent."""
        if self._descriptor >= 0:
            self._forget()

    def _read_back(self) -> None:
        with naming(f"cannot read back {self.what}"):
            if os.fstat(self._descriptor).st_size > self.size:
                os.ftruncate(self._descriptor, 0)
            piece = memoryview(bytearray(_PIECE))
            while count := os.preadv(self._descriptor, [piece], self.offset):
                self._hash.update(piece[:count])
                self.offset += count
