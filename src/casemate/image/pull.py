"""Images from a registry: every layer is fetched, verified, decompressed, hashed, stored and
indexed in one pass over its bytes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import NamedTuple

from casemate.content.ingest import ResumableIngest
from casemate.content.lease import Lease
from casemate.errors import AlreadyExists, DataLoss, InvalidArgument, Unsupported
from casemate.image.progress import Report, Tell
from casemate.image.store import Image, ImageStore
from casemate.layer.store import Layer
from casemate.oci import digest as digests
from casemate.oci import image as configs
from casemate.oci import media
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.manifest import Manifest
from casemate.oci.platform import Platform
from casemate.oci.reference import Reference
from casemate.registry import blobs, manifests
from casemate.registry.client import Registry
from casemate.registry.download import download

PARALLEL = 3
_PIECE = 256 << 10


class Pulled(NamedTuple):
    """What a pull brought. ``digest`` is what the reference names at the registry."""

    image: Image
    digest: Digest
    is_new: bool


def pull(
    store: ImageStore,
    registry: Registry,
    reference: Reference,
    *,
    platform: Platform,
    now_ns: int,
    tell: Tell,
) -> Pulled:
    """Have the image ``reference`` for ``platform``, and its name. Raises what the registry does.

    An interrupted pull continues where it was: finished layers stay leased while it runs, partial
    ones are kept for the next one.
    """
    top = manifests.resolve(registry, reference)
    found = top
    if not isinstance(top.document, Manifest):
        found = manifests.resolve(
            registry, reference._replace(digest=top.descriptor.digest), platform
        )
    manifest = found.document
    assert isinstance(manifest, Manifest)
    what = reference.familiar
    _check(manifest, what)
    tell(Report(f"Pulling from {reference.path}", reference.tag or str(reference.digest)))
    before = store.named(reference)
    with store.content.lease() as lease:
        store.content.put(lease, found.data)
        lease.add(manifest.config.digest)
        download(registry, reference, manifest.config, store.content, lease)
        data = store.content.read(manifest.config.digest, configs.MAX_BYTES)
        config = configs.parse(data, what)
        if len(config.rootfs.diff_ids) != len(manifest.layers):
            raise InvalidArgument(
                f"cannot pull {what}: the manifest has {len(manifest.layers)} layers,"
                f" the config {len(config.rootfs.diff_ids)}"
            )
        lease.add(*config.rootfs.diff_ids)
        source = _Source(store, registry, reference, lease, tell)
        _layers(source, list(zip(manifest.layers, config.rootfs.diff_ids, strict=True)))
        image = store.add(
            data,
            names=_names(reference, top.descriptor.digest),
            manifest=found.descriptor,
            stored_ns=now_ns,
            lease=lease,
        )
    is_new = before is None or before.id != image.id
    tell(Report(f"Digest: {top.descriptor.digest}"))
    state = "Downloaded newer image for" if is_new else "Image is up to date for"
    tell(Report(f"Status: {state} {what}"))
    return Pulled(image, top.descriptor.digest, is_new)


def _check(manifest: Manifest, what: str) -> None:
    if manifest.config.media_type not in media.CONFIGS:
        raise Unsupported(
            f"cannot pull {what}: it is no container image but {manifest.config.media_type[:160]}"
        )
    if manifest.config.size > configs.MAX_BYTES:
        raise InvalidArgument(f"cannot pull {what}: its config has {manifest.config.size} bytes")
    for layer in manifest.layers:
        media.layer_compression(layer.media_type)


def _names(reference: Reference, digest: Digest) -> list[Reference]:
    by_digest = reference._replace(tag="", digest=digest)
    return [reference, by_digest] if reference.tag and not reference.digest else [by_digest]


class _Source(NamedTuple):
    store: ImageStore
    registry: Registry
    reference: Reference
    lease: Lease
    tell: Tell


def _layers(source: _Source, wanted: list[tuple[Descriptor, Digest]]) -> None:
    """Have all layers, a few at a time. The first error stops the others."""
    for blob, _ in wanted:
        source.tell(Report("Pulling fs layer", short(blob.digest)))
    # The same layer may be in an image twice.
    unique = list(dict.fromkeys((blob.digest, diff_id) for blob, diff_id in wanted))
    by_digest = {blob.digest: blob for blob, _ in wanted}
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="pull") as pool:
        futures = [pool.submit(_layer, source, by_digest[d], diff_id) for d, diff_id in unique]
        done, pending = wait(futures, return_when=FIRST_EXCEPTION)
        if pending:
            source.registry.abort()
            for future in pending:
                future.cancel()
        failed = [f.exception() for f in done if f.exception()]
    if failed and failed[0]:
        raise failed[0]


def _layer(source: _Source, blob: Descriptor, diff_id: Digest) -> None:
    tell, name = source.tell, short(blob.digest)
    if source.store.layers.has(diff_id):
        tell(Report("Already exists", name))
    else:
        what = f"layer {blob.digest} of {source.reference.familiar}"
        _ingest(source, blob, diff_id, what)
        tell(Report("Pull complete", name))
    source.store.note_blob(diff_id, blob)


def _ingest(source: _Source, blob: Descriptor, diff_id: Digest, what: str) -> Layer:
    compression = media.layer_compression(blob.media_type)
    layers, content = source.store.layers, source.store.content
    for direct in (False, True):
        try:
            writer = content.ingest(source.lease, blob.digest, blob.size)
        except AlreadyExists:
            chunks = _stored(source, blob)
            return layers.ingest(chunks, what=what, expected=diff_id, compression=compression)
        with writer, contextlib.closing(_fetched(source, blob, writer, direct=direct)) as chunks:
            resumed = bool(writer.resumed)
            try:
                return layers.ingest(chunks, what=what, expected=diff_id, compression=compression)
            except DataLoss:
                # What a crash left behind, or a mirror, may be to blame: once more, all of it.
                if direct or not resumed:
                    raise
                writer.abort()
    raise AssertionError("not reached")


def _stored(source: _Source, blob: Descriptor) -> Iterator[bytes]:
    with source.store.content.open(blob.digest) as file:
        while piece := file.read(_PIECE):
            yield piece


def _fetched(
    source: _Source, blob: Descriptor, writer: ResumableIngest, *, direct: bool
) -> Generator[bytes, None, None]:
    """Yield the blob's bytes while they are written down; at the end it is verified and stored."""
    name = short(blob.digest)
    yield from writer.read_partial(_PIECE)
    pieces = blobs.fetch(source.registry, source.reference, blob, writer.offset, direct=direct)
    with contextlib.closing(pieces):
        for piece in pieces:
            writer.write(piece)
            source.tell(Report("Downloading", name, writer.offset, blob.size))
            yield bytes(piece)
    writer.commit()
    source.tell(Report("Download complete", name))


def short(digest: Digest) -> str:
    """Return the first twelve hex digits, by which people know a layer."""
    return digests.encoded(digest)[:12]
