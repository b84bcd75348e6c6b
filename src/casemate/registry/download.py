"""A blob from a registry into the content store."""

from __future__ import annotations

import contextlib

from casemate.content.ingest import ResumableIngest
from casemate.content.lease import Lease
from casemate.content.store import ContentStore
from casemate.errors import AlreadyExists, DataLoss
from casemate.oci.descriptor import Descriptor
from casemate.oci.reference import Reference
from casemate.registry import blobs
from casemate.registry.client import Progress, Registry


def download(
    registry: Registry,
    reference: Reference,
    descriptor: Descriptor,
    store: ContentStore,
    lease: Lease,
    progress: Progress | None = None,
) -> None:
    """Have the blob ``descriptor`` in ``store``, under ``lease``, verified.

    Continues what an earlier attempt left, and leaves what it has when it fails. Bytes that prove
    wrong are fetched once more from the registry itself when a mirror, or a beginning that a crash
    has left, may be to blame. Raises what ``blobs.fetch`` raises, and DataLoss.
    """
    for direct in (False, True):
        try:
            writer = store.ingest(lease, descriptor.digest, descriptor.size)
        except AlreadyExists:
            break
        with writer:
            suspect = bool(writer.resumed) or _has_mirrors(registry, reference)
            try:
                _fill(registry, reference, descriptor, writer, progress, direct=direct)
                writer.commit()
                break
            except DataLoss:
                if direct or not suspect:
                    raise
                writer.abort()
    if progress:
        progress(descriptor.digest, descriptor.size, descriptor.size)


def _has_mirrors(registry: Registry, reference: Reference) -> bool:
    return any(session.is_mirror for session in registry.sources(reference.domain))


def _fill(
    registry: Registry,
    reference: Reference,
    descriptor: Descriptor,
    writer: ResumableIngest,
    progress: Progress | None,
    *,
    direct: bool,
) -> None:
    pieces = blobs.fetch(registry, reference, descriptor, writer.offset, direct=direct)
    with contextlib.closing(pieces):
        for piece in pieces:
            writer.write(piece)
            if progress:
                progress(descriptor.digest, writer.offset, descriptor.size)
