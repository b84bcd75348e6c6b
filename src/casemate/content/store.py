"""The directory of blobs: find, read, list, remove, begin to write."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from typing import BinaryIO

from casemate.content.files import naming, open_locked
from casemate.content.ingest import Ingest, ResumableIngest
from casemate.content.layout import ALGORITHMS, Layout
from casemate.content.lease import Lease
from casemate.errors import AlreadyExists, DataLoss, InvalidArgument, Unavailable
from casemate.oci import digest as digests
from casemate.oci.digest import Digest

_PIECE = 256 << 10


class ContentStore:
    """Blobs by digest under ``root``, for any number of threads and processes."""

    def __init__(self, root: str) -> None:
        """Open the store at ``root``, made if it is not there; its mode becomes 0700."""
        self.layout = Layout(os.path.abspath(root))
        with naming(f"cannot open the content store {root}"):
            self.layout.make()

    def lease(self) -> Lease:
        """Take a lease, under which digests are safe from ``collect``."""
        return Lease(self.layout.leases, self.layout.gate)

    def ingest(self, lease: Lease, digest: Digest, size: int) -> ResumableIngest:
        """Begin or continue the blob ``digest`` of ``size`` bytes; ``lease`` protects it.

        Waits for another writer of the same blob. Raises AlreadyExists when it is (or has become)
        stored.
        """
        if size < 0:
            raise InvalidArgument(f"blob {digest} cannot have {size} bytes")
        lease.add(digest)
        if not self.has(digest):
            with naming(f"cannot write blob {digest}"):
                path = self.layout.partial(digest)
                descriptor = open_locked(path, os.O_RDWR | os.O_CREAT, wait=True)
            try:
                if not self.has(digest):
                    _need_space(descriptor, digest, size)
                    return ResumableIngest(self.layout, lease, descriptor, digest, size)
                os.unlink(path)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise AlreadyExists(f"blob {digest} is already stored")

    def ingest_unnamed(self, lease: Lease) -> Ingest:
        """Begin a blob whose sha256 digest is known only at its ``commit``."""
        path = f"{self.layout.ingests}/new-{secrets.token_hex(8)}"
        with naming("cannot write a new blob"):
            descriptor = open_locked(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, wait=True)
        return Ingest(self.layout, lease, path, descriptor)

    def put(self, lease: Lease, data: bytes) -> Digest:
        """Store the document ``data`` and return its digest; nothing is written twice."""
        digest = digests.of(data)
        lease.add(digest)
        if not self.has(digest):
            with self.ingest_unnamed(lease) as writer:
                writer.write(data)
                writer.commit()
        return digest

    def has(self, digest: Digest) -> bool:
        """Return whether the blob is stored."""
        return os.path.exists(self.layout.blob(digest))

    def size(self, digest: Digest) -> int:
        """Return the blob's size in bytes. Raises NotFound."""
        path = self.layout.blob(digest)
        with naming(f"cannot find blob {digest}"):
            return os.stat(path, follow_symlinks=False).st_size

    def open(self, digest: Digest) -> BinaryIO:
        """Open the blob for reading, unverified. Raises NotFound."""
        path = self.layout.blob(digest)
        with naming(f"cannot open blob {digest}"):
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            return os.fdopen(os.open(path, flags), "rb")

    def read(self, digest: Digest, limit: int) -> bytes:
        """Return the whole blob of at most ``limit`` bytes, verified.

        Raises NotFound, InvalidArgument when it is larger, DataLoss.
        """
        with self.open(digest) as file, naming(f"cannot read blob {digest}"):
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InvalidArgument(f"blob {digest} is larger than {limit} bytes")
        found = hashlib.new(digests.algorithm(digest), data).hexdigest()
        if found != digests.encoded(digest):
            raise _corrupt(digest, found)
        return data

    def verify(self, digest: Digest) -> int:
        """Read the whole blob against its digest; return its size. Raises NotFound, DataLoss."""
        state = hashlib.new(digests.algorithm(digest))
        piece = memoryview(bytearray(_PIECE))
        size = 0
        with self.open(digest) as file, naming(f"cannot read blob {digest}"):
            while count := os.preadv(file.fileno(), [piece], size):
                state.update(piece[:count])
                size += count
        if state.hexdigest() != digests.encoded(digest):
            raise _corrupt(digest, state.hexdigest())
        return size

    def walk(self) -> Iterator[tuple[Digest, int]]:
        """Yield digest and size in bytes of every blob, in no order; strays are passed over."""
        for algorithm in ALGORITHMS:
            with (
                naming("cannot list the blobs"),
                os.scandir(self.layout.algorithm(algorithm)) as entries,
            ):
                for entry in entries:
                    digest = blob_name(algorithm, entry)
                    size = _size(entry) if digest else None
                    if digest and size is not None:
                        yield digest, size

    def delete(self, digest: Digest) -> int:
        """Remove the blob and return the bytes freed. Raises NotFound.

        Whoever has it open reads on. It asks for no lease: that is the collector's part.
        """
        path = self.layout.blob(digest)
        with naming(f"cannot delete blob {digest}"):
            size = os.stat(path, follow_symlinks=False).st_size
            os.unlink(path)
        return size


def blob_name(algorithm: str, entry: os.DirEntry[str]) -> Digest | None:
    """Return the digest that a directory entry stands for, None for a stray."""
    try:
        digest = digests.parse(f"{algorithm}:{entry.name}")
    except InvalidArgument:
        return None
    return digest if entry.is_file(follow_symlinks=False) else None


def _need_space(descriptor: int, digest: Digest, size: int) -> None:
    """Refuse what cannot fit; a size is a peer's word, and the disk is not its to fill."""
    found = os.fstatvfs(descriptor)
    free = found.f_bavail * found.f_frsize + os.fstat(descriptor).st_size
    if size > free:
        raise Unavailable(
            f"cannot write blob {digest}: no space for {size} bytes, {free} are free",
            hint="free some space: casemate system prune, or a larger disk for the data root",
        )


def _size(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return None


def _corrupt(digest: Digest, found: str) -> DataLoss:
    return DataLoss(
        f"blob {digest} is damaged: its bytes have the digest {found}",
        hint="run: casemate fsck --repair, then pull or build it again",
    )
