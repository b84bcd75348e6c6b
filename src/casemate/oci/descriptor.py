"""A descriptor points at content: media type, digest and size in bytes.

Source: image-spec v1.1 descriptor.md.
"""

from __future__ import annotations

import msgspec

from casemate.errors import InvalidArgument
from casemate.oci import digest as digests
from casemate.oci.digest import Digest
from casemate.oci.platform import Platform


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What is referred to, and how to verify it. ``size`` is in bytes."""

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
    platform: Platform | None = None
    artifact_type: str = ""

    def checked(self, what: str) -> Descriptor:
        """Return self after the rules that the types cannot hold; raise InvalidArgument."""
        if not self.media_type:
            raise InvalidArgument(f"{what}: a descriptor has no media type")
        digests.parse(self.digest)
        if self.size < 0:
            raise InvalidArgument(
                f"{what}: descriptor {self.digest} has the negative size {self.size}"
            )
        return self
