"""Compare a stored layer with its digest, and its index with one made anew."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from casemate.errors import DataLoss, InvalidArgument
from casemate.layer import ingest
from casemate.layer.index import BLOCK
from casemate.layer.ingest import Record, Source
from casemate.layer.limits import NONE
from casemate.layer.stream import PIECE_BYTES, FileStream, TarFile
from casemate.oci import digest as digests


def compare(path: str, record: Record, work: int) -> None:
    """Raise DataLoss when the layer in the directory ``path`` is not what ``record`` says.

    ``work`` is a descriptor of an empty directory for the new index.
    """
    what = f"layer {record.diff_id}"
    with TarFile(f"{path}/{ingest.TAR}", record.size) as tar:
        _check_tar(tar, record, what)
        try:
            parsed = ingest.parse(FileStream(tar.fileno(), record.size), Source(what, NONE))
        except InvalidArgument as error:
            raise DataLoss(f"{what}: its archive is refused now: {error}") from error
        fresh = ingest.build(parsed, record.diff_id, record.size, tar.fileno(), work)
    if fresh != record:
        raise DataLoss(f"{what}: its record is not what its archive says")
    names = (ingest.INDEX, ingest.SIDE) if record.side_size else (ingest.INDEX,)
    for name in names:
        if not _same(f"{path}/{name}", f"/proc/self/fd/{work}/{name}"):
            raise DataLoss(f"{what}: {name} is damaged")


def _check_tar(tar: TarFile, record: Record, what: str) -> None:
    size = os.fstat(tar.fileno()).st_size
    if size != -(-record.size // BLOCK) * BLOCK:
        raise DataLoss(f"{what}: its file has {size} bytes, its archive {record.size}")
    running = hashlib.new(digests.algorithm(record.diff_id))
    for piece in tar.chunks():
        running.update(piece)
    if running.hexdigest() != digests.encoded(record.diff_id):
        raise DataLoss(f"{what}: its bytes have another digest, {running.hexdigest()}")


def _same(left: str, right: str) -> bool:
    """Return whether two files hold the same; holes are passed over."""
    with open(left, "rb", buffering=0) as a, open(right, "rb", buffering=0) as b:
        files = a.fileno(), b.fileno()
        if os.fstat(files[0]).st_size != os.fstat(files[1]).st_size:
            return False
        return all(
            os.pread(files[0], count, at) == os.pread(files[1], count, at)
            for file in files
            for at, count in _pieces(file)
        )


def _pieces(file: int) -> Iterator[tuple[int, int]]:
    """Yield offset and length of the data of a file, in short pieces."""
    end = 0
    while True:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError:  # ENXIO: no data after this
            return
        end = os.lseek(file, start, os.SEEK_HOLE)
        for at in range(start, end, PIECE_BYTES):
            yield at, min(PIECE_BYTES, end - at)
