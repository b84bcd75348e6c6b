"""A registry with some images, to pull while something goes wrong."""

from __future__ import annotations

import random

from support.images import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Blob, config, oci_manifest, tar
from support.registry import FakeRegistry

TAGS = 20


def fill(registry: FakeRegistry) -> str:
    """Put ``app:0`` to ``app:19`` there, of a layer that all share and one of its own each.

    Returns how the repository is named.
    """
    shared = Blob(OCI_LAYER, tar({"shared": random.Random(1).randbytes(300_000)}))
    for tag in range(TAGS):
        own = Blob(OCI_LAYER, tar({f"{tag}": random.Random(tag).randbytes(200_000)}))
        document = config([shared.data, own.data])
        for blob in (shared, own, Blob(OCI_CONFIG, document)):
            registry.add_blob("app", blob.data)
        manifest = oci_manifest(document, shared, own)
        registry.add_manifest("app", str(tag), manifest.data, OCI_MANIFEST)
    return f"{registry.host}/app"
