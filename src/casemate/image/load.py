"""Images from archives: Docker's (manifest.json) and OCI layouts (index.json), as one tar stream.

Source: image-spec v1.1 image-layout.md; Docker image spec v1.2, section Combined image JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from casemate.content.lease import Lease
from casemate.errors import DataLoss, InvalidArgument, NotFound
from casemate.image.archive import Files, StoredLayer, read
from casemate.image.store import Image, ImageStore
from casemate.oci import digest as digests
from casemate.oci import image as configs
from casemate.oci import manifest as manifests
from casemate.oci import media
from casemate.oci import reference as references
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.manifest import Index, Manifest
from casemate.oci.platform import Platform
from casemate.oci.reference import Reference

_MAX_IMAGES = 1000
#: How Docker's and containerd's archives name an image in an index.
_FULL_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


class Loaded(NamedTuple):
    """An image that an archive brought, and the names it got."""

    image: Image
    names: tuple[Reference, ...]


class _Entry(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


class _Found(NamedTuple):
    config: bytes
    layers: list[StoredLayer]
    names: tuple[Reference, ...]
    manifest: Descriptor | None = None


def load(
    store: ImageStore,
    chunks: Iterable[bytes],
    *,
    platform: Platform,
    now_ns: int,
    what: str = "the archive",
) -> list[Loaded]:
    """Store every image of the archive in ``chunks`` and return them with their names.

    Nothing is named before all of it is read and verified. Raises InvalidArgument, DataLoss.
    """
    with store.content.lease() as lease:
        files = read(store, chunks, lease, what)
        if files.has("manifest.json"):
            found = list(_docker(files))
        elif files.has("index.json"):
            found = list(_layout(store, files, platform, lease))
        else:
            raise InvalidArgument(
                f"{what} is not an image archive: it has neither manifest.json nor index.json",
                hint="a tar of a root file system is brought in with: casemate import",
            )
        if not found:
            raise InvalidArgument(f"{what} has no image for {platform}")
        for image in found:
            _verify(image, what)
        return [_record(store, image, now_ns, lease) for image in found]


def _record(store: ImageStore, found: _Found, now_ns: int, lease: Lease) -> Loaded:
    image = store.add(
        found.config, names=found.names, manifest=found.manifest, stored_ns=now_ns, lease=lease
    )
    return Loaded(image, found.names)


def _verify(found: _Found, what: str) -> None:
    config = configs.parse(found.config, what)
    wanted = config.rootfs.diff_ids
    if len(wanted) != len(found.layers):
        raise InvalidArgument(
            f"{what}: the config lists {len(wanted)} layers, the manifest {len(found.layers)}"
        )
    for diff_id, layer in zip(wanted, found.layers, strict=True):
        if diff_id != layer.diff_id:
            raise DataLoss(f"{what}: layer {diff_id} has the DiffID {layer.diff_id} instead")


# ---- Docker's archive ----


def _docker(files: Files) -> Iterator[_Found]:
    try:
        entries = msgspec.json.decode(files.document("manifest.json"), type=list[_Entry])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{files.what}: invalid manifest.json: {error}") from error
    if len(entries) > _MAX_IMAGES:
        raise InvalidArgument(f"{files.what}: more than {_MAX_IMAGES} images")
    for entry in entries:
        names = tuple(_tagged(name, files.what) for name in entry.repo_tags or ())
        layers = [files.layer(path) for path in entry.layers]
        yield _Found(files.document(entry.config), layers, names)


def _tagged(text: str, what: str) -> Reference:
    reference = references.parse(text)
    if not reference.tag:
        raise InvalidArgument(f"{what}: name {text[:200]!r} has no tag")
    return reference._replace(digest=None)


# ---- OCI layout ----


def _layout(store: ImageStore, files: Files, platform: Platform, lease: Lease) -> Iterator[_Found]:
    index = manifests.parse(
        files.document("index.json"), media.OCI_INDEX, f"{files.what}: index.json"
    )
    assert isinstance(index, Index)
    if len(index.manifests) > _MAX_IMAGES:
        raise InvalidArgument(f"{files.what}: more than {_MAX_IMAGES} images")
    for entry in index.manifests:
        if entry.media_type in media.MANIFESTS | media.INDEXES:
            found = _from_layout(store, files, entry, platform, lease)
            if found:
                yield found


def _from_layout(
    store: ImageStore, files: Files, entry: Descriptor, platform: Platform, lease: Lease
) -> _Found | None:
    top = entry
    data, document = _manifest(files, entry)
    if isinstance(document, Index):
        try:
            chosen = manifests.select(document, platform, files.what)
        except NotFound:
            return None
        entry = chosen
        data, document = _manifest(files, entry)
    if not isinstance(document, Manifest) or document.config.media_type not in media.CONFIGS:
        return None
    layers = [_blob(files, layer) for layer in document.layers]
    config = _checked(files.document(_path(document.config.digest)), document.config, files.what)
    store.content.put(lease, data)
    names = tuple(_annotated(top))
    return _Found(config, layers, names, Descriptor(entry.media_type, entry.digest, len(data)))


def _manifest(files: Files, entry: Descriptor) -> tuple[bytes, Manifest | Index]:
    data = _checked(files.document(_path(entry.digest)), entry, files.what)
    return data, manifests.parse(data, entry.media_type, files.what)


def _blob(files: Files, descriptor: Descriptor) -> StoredLayer:
    layer = files.layer(_path(descriptor.digest))
    if (layer.digest, layer.size) != (descriptor.digest, descriptor.size):
        raise DataLoss(
            f"{files.what}: blob {descriptor.digest} has the digest {layer.digest} instead"
        )
    return layer


def _path(digest: Digest) -> str:
    return f"blobs/{digests.algorithm(digest)}/{digests.encoded(digest)}"


def _checked(data: bytes, descriptor: Descriptor, what: str) -> bytes:
    if digests.of(data) != descriptor.digest or len(data) != descriptor.size:
        raise DataLoss(
            f"{what}: blob {descriptor.digest} has the digest {digests.of(data)} instead"
        )
    return data


def _annotated(entry: Descriptor) -> Iterator[Reference]:
    full = entry.annotations.get(_FULL_NAME)
    short = entry.annotations.get(_REF_NAME, "")
    for text in (full, short):
        # A bare tag says nothing about the repository.
        if text and (":" in text or "/" in text):
            reference = references.parse(text)
            yield reference._replace(digest=None, tag=reference.tag or references.DEFAULT_TAG)
            return
