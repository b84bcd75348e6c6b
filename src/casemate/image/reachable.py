"""What images hold on to: the edges along which the collection marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from casemate.errors import Error
from casemate.image.store import Image, ImageStore
from casemate.oci import manifest as manifests
from casemate.oci.digest import Digest
from casemate.oci.manifest import Manifest


def roots(images: Iterable[Image]) -> Iterator[Digest]:
    """Yield what is reachable at once: configs, manifests and DiffIDs."""
    for image in images:
        yield image.id
        yield from image.layers
        if image.manifest:
            yield image.manifest


def edges(store: ImageStore, digest: Digest) -> Iterator[Digest]:
    """Yield what the blob ``digest`` refers to, if it is a manifest that is stored here."""
    if not store.content.has(digest) or store.content.size(digest) > manifests.MAX_BYTES:
        return
    try:
        document = manifests.parse(store.content.read(digest, manifests.MAX_BYTES), "", digest)
    except Error:
        return  # a config or a layer
    if isinstance(document, Manifest):
        yield document.config.digest
        yield from (layer.digest for layer in document.layers)
    else:
        yield from (entry.digest for entry in document.manifests)
