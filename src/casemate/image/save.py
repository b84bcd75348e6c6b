"""Images as an archive that every tool reads: an OCI layout with Docker's manifest.json beside it.

Layers go out as the tars they are. Source: image-spec v1.1 image-layout.md; Docker image spec v1.2.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from casemate.image.store import Image, ImageStore
from casemate.layer import write
from casemate.layer.tar import Entry
from casemate.oci import digest as digests
from casemate.oci import image as configs
from casemate.oci import media
from casemate.oci import reference as references
from casemate.oci.descriptor import Descriptor
from casemate.oci.digest import Digest
from casemate.oci.manifest import Index, Manifest
from casemate.oci.reference import Reference

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


class Chosen(NamedTuple):
    """An image to save, and the names that go along with it."""

    image: Image
    names: tuple[Reference, ...]

    @classmethod
    def of(cls, image: Image, text: str) -> Chosen:
        """Return the image with the name ``text``, or without one when that is an id."""
        for name in image.tags:
            whole = references.DEFAULT_TAG == name.tag and text in (
                name.familiar_name,
                name.repository,
            )
            if whole or text in (name.familiar, str(name)):
                return cls(image, (name,))
        return cls(image, ())


def save(store: ImageStore, chosen: Iterable[Chosen]) -> Generator[bytes, None, None]:
    """Yield the archive of the ``chosen`` images; what they share is in it once.

    They are held until all of it is read. Raises NotFound, before the first piece, for an image
    that was removed since it was chosen.
    """
    merged: dict[Digest, Chosen] = {}
    for one in chosen:
        before = merged.get(one.image.id)
        names = dict.fromkeys((*(before.names if before else ()), *one.names))
        merged[one.image.id] = Chosen(one.image, tuple(names))
    written: set[Digest] = set()
    entries: list[dict[str, Any]] = []
    manifests: list[Descriptor] = []
    with store.content.lease() as lease:
        lease.add(*(d for one in merged.values() for d in (one.image.id, *one.image.layers)))
        for one in merged.values():
            store.get(one.image.id)
        for directory in ("blobs/", "blobs/sha256/"):
            yield write.member(Entry(directory.encode(), "directory", 0o755, 0, 0, 0))
        for one in merged.values():
            config = store.content.read(one.image.id, configs.MAX_BYTES)
            manifest = _manifest(store, one.image, config)
            for diff_id in one.image.layers:
                yield from _layer(store, diff_id, written)
            for document in (config, manifest):
                yield from _blob(document, written)
            entries.append(_docker_entry(one))
            manifests.extend(_descriptors(one, manifest))
    index = Index(2, tuple(manifests), media_type=media.OCI_INDEX)
    yield from _file("index.json", msgspec.json.encode(index))
    yield from _file("manifest.json", msgspec.json.encode(entries))
    yield from _file("oci-layout", _LAYOUT)
    yield write.END


def _manifest(store: ImageStore, image: Image, config: bytes) -> bytes:
    layers = tuple(
        Descriptor(media.OCI_LAYER, diff_id, store.layers.get(diff_id).size_bytes)
        for diff_id in image.layers
    )
    descriptor = Descriptor(media.OCI_CONFIG, image.id, len(config))
    return msgspec.json.encode(Manifest(2, descriptor, layers, media_type=media.OCI_MANIFEST))


def _descriptors(one: Chosen, manifest: bytes) -> Iterator[Descriptor]:
    plain = Descriptor(media.OCI_MANIFEST, digests.of(manifest), len(manifest))
    if not one.names:
        yield plain
    for name in one.names:
        annotations = {
            "io.containerd.image.name": str(name),
            "org.opencontainers.image.ref.name": name.tag,
        }
        yield msgspec.structs.replace(plain, annotations=annotations)


def _docker_entry(one: Chosen) -> dict[str, Any]:
    return {
        "Config": _path(one.image.id),
        "RepoTags": [name.familiar for name in one.names] or None,
        "Layers": [_path(diff_id) for diff_id in one.image.layers],
    }


def _layer(store: ImageStore, diff_id: Digest, written: set[Digest]) -> Iterator[bytes]:
    if diff_id in written:
        return
    written.add(diff_id)
    size = store.layers.get(diff_id).size_bytes
    yield _head(_path(diff_id), size)
    with store.layers.open_tar(diff_id) as tar:
        yield from tar.chunks()
    yield write.padding(size)


def _blob(data: bytes, written: set[Digest]) -> Iterator[bytes]:
    digest = digests.of(data)
    if digest not in written:
        written.add(digest)
        yield from _file(_path(digest), data)


def _file(path: str, data: bytes) -> Iterator[bytes]:
    yield _head(path, len(data)) + data + write.padding(len(data))


def _head(path: str, size: int) -> bytes:
    return write.member(Entry(path.encode(), "file", 0o644, 0, 0, 0, size=size, stored=size))


def _path(digest: Digest) -> str:
    return f"blobs/{digests.algorithm(digest)}/{digests.encoded(digest)}"
