"""Content digests: ``sha256:<64 lower-case hex digits>``.

Source: image-spec v1.1 descriptor.md, section Digests.
"""

from __future__ import annotations

import hashlib
import re
from typing import NewType

from casemate.errors import InvalidArgument

Digest = NewType("Digest", str)

_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")


def parse(text: str) -> Digest:
    """Return ``text`` as a Digest, or raise InvalidArgument.

    Only the registered algorithms sha256 and sha512 are accepted; the grammar leaves no room for
    a path separator, so a Digest is safe as a file name.
    """
    algorithm, separator, encoded = text.partition(":")
    length = _LENGTHS.get(algorithm)
    if not separator or length is None:
        raise InvalidArgument(
            f"invalid digest {text[:160]!r}: the algorithm must be sha256 or sha512"
        )
    if len(encoded) != length or not _HEX.fullmatch(encoded):
        raise InvalidArgument(
            f"invalid digest {text[:160]!r}: {algorithm} needs {length} lower-case hex digits"
        )
    return Digest(text)


def of(data: bytes) -> Digest:
    """Return the sha256 digest of ``data``."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def algorithm(digest: Digest) -> str:
    """Return ``sha256`` or ``sha512``."""
    return digest.partition(":")[0]


def encoded(digest: Digest) -> str:
    """Return the hex digits of ``digest``."""
    return digest.partition(":")[2]


def chain_id(diff_ids: list[Digest] | tuple[Digest, ...]) -> Digest:
    """Return the ChainID of the layers ``diff_ids``, base first.

    Source: image-spec v1.1 config.md, section Layer ChainID. Raises InvalidArgument for no layers.
    """
    if not diff_ids:
        raise InvalidArgument("cannot compute the chain id of no layers")
    chain = diff_ids[0]
    for diff_id in diff_ids[1:]:
        chain = of(f"{chain} {diff_id}".encode())
    return chain
