"""Images to a registry: compressed while they are sent, only what the other side lacks."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from casemate.content.lease import Lease
from casemate.errors import DataLoss, NotFound
from casemate.image.progress import Report, Tell
from casemate.image.pull import PARALLEL, short
from casemate.image.store import Image, ImageStore
from casemate.layer.compression import compress
from casemate.layer.stream import TarFile
from casemate.oci import digest as digests
from casemate.oci import manifest as manifest_values
from casemate.oci import media
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.manifest import Manifest
from casemate.oci.reference import Reference
from casemate.registry import manifests, uploads
from casemate.registry.client import Registry

_PIECE = 1 << 20


class Pushed(NamedTuple):
    """What a registry now holds: the manifest's digest and its size in bytes."""

    digest: Digest
    size: int


class _Target(NamedTuple):
    store: ImageStore
    registry: Registry
    reference: Reference
    tell: Tell


def push(
    store: ImageStore, registry: Registry, image: Image, reference: Reference, tell: Tell
) -> Pushed:
    """Store ``image`` as ``reference`` and return its manifest's digest.

    An image that was pulled keeps its manifest, byte for byte, as long as its blobs are to be had;
    otherwise layers are compressed anew and the manifest is made.
    """
    target = _Target(store, registry, reference, tell)
    tell(Report(f"The push refers to repository [{reference.repository}]"))
    with store.content.lease() as lease:
        lease.add(image.id, *image.layers)
        data, media_type = _manifest(target, image, lease)
        digest = manifests.push(registry, reference, data, media_type)
        store.content.put(lease, data)
        store.set_manifest(image, Descriptor(media_type, digest, len(data)))
    store.tag(image, reference._replace(tag="", digest=digest))
    tell(Report(f"{reference.tag}: digest: {digest} size: {len(data)}"))
    return Pushed(digest, len(data))


def _manifest(target: _Target, image: Image, lease: Lease) -> tuple[bytes, str]:
    """Have config and layers at the registry; return the manifest that ties them together."""
    original = _original(target.store, image)
    wanted = original.layers if original else (None,) * len(image.layers)
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="push") as pool:
        sent = list(
            pool.map(lambda pair: _layer(target, *pair), zip(image.layers, wanted, strict=True))
        )
    config = target.store.content.read(image.id, 1 << 30)
    if original and tuple(s.digest for s in sent) == tuple(b.digest for b in original.layers):
        _config(target, original.config)
        assert image.manifest
        return target.store.content.read(image.manifest, 1 << 30), image.media_type
    descriptor = Descriptor(media.OCI_CONFIG, digests.of(config), len(config))
    _config(target, descriptor)
    manifest = Manifest(2, descriptor, tuple(sent), media_type=media.OCI_MANIFEST)
    return msgspec.json.encode(manifest), media.OCI_MANIFEST


def _original(store: ImageStore, image: Image) -> Manifest | None:
    """Return the manifest that the image came with, when it is still stored."""
    if not image.manifest or not store.content.has(image.manifest):
        return None
    data = store.content.read(image.manifest, manifest_values.MAX_BYTES)
    document = manifest_values.parse(data, image.media_type, f"manifest of {image.id}")
    if isinstance(document, Manifest) and len(document.layers) == len(image.layers):
        return document
    return None


def _layer(target: _Target, diff_id: Digest, wanted: Descriptor | None) -> Descriptor:
    """Have one layer at the registry, in a form it was seen in before if that can be."""
    name = short(diff_id)
    target.tell(Report("Preparing", name))
    known = [wanted] if wanted else []
    known.extend(b for b in target.store.blobs_of(diff_id) if b != wanted)
    for blob in known:
        if _send_known(target, blob, name):
            return blob
    blob = _compress(target, diff_id, name)
    target.store.note_blob(diff_id, blob)
    target.tell(Report("Pushed", name))
    return blob


def _send_known(target: _Target, blob: Descriptor, name: str) -> bool:
    """Send the stored ``blob``, or find that the registry has it. False when neither can be."""
    content = target.store.content
    try:
        file = content.open(blob.digest)
    except NotFound:
        if uploads.exists(target.registry, target.reference, blob):
            target.tell(Report("Layer already exists", name))
            return True
        return False

    def progress(_: str, done: int, total: int) -> None:
        target.tell(Report("Pushing", name, done, total))

    with file:
        outcome = uploads.push_blob(
            target.registry, target.reference, blob, file, progress=progress
        )
    target.tell(Report("Layer already exists" if outcome == "exists" else "Pushed", name))
    return True


def _compress(target: _Target, diff_id: Digest, name: str) -> Descriptor:
    """Compress the layer while it is sent; its digest shows at the end."""
    layer = target.store.layers.get(diff_id)
    with target.store.layers.open_tar(diff_id) as tar:
        source = contextlib.closing(_pieces(tar, layer.size_bytes, name, target.tell))
        with source as pieces:
            digest, size = uploads.push_stream(
                target.registry, target.reference, compress(pieces, "gzip")
            )
    return Descriptor(media.OCI_LAYER_GZIP, digest, size)


def _pieces(tar: TarFile, size: int, name: str, tell: Tell) -> Generator[bytes, None, None]:
    done = 0
    for piece in tar.chunks():
        done += len(piece)
        tell(Report("Pushing", name, done, size))
        yield piece
    if done != size:
        raise DataLoss(f"layer {name} has {done} bytes instead of {size}")


def _config(target: _Target, descriptor: Descriptor) -> None:
    with target.store.content.open(descriptor.digest) as file:
        uploads.push_blob(target.registry, target.reference, descriptor, file)
