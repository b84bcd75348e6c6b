"""Image manifests and indexes.

Source: image-spec v1.1 manifest.md and image-index.md; Docker manifest v2 schema 2.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from casemate.errors import InvalidArgument, NotFound, Unsupported
from casemate.oci import media
from casemate.oci.descriptor import Descriptor
from casemate.oci.platform import Platform, rank

T = TypeVar("T")

#: Larger documents are refused; registries limit manifests to 4 MiB as well.
MAX_BYTES = 4 << 20
#: More layers than overlayfs can stack are refused when the manifest is read.
MAX_LAYERS = 500


class Manifest(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One image: its config and its layers, base first."""

    schema_version: int
    config: Descriptor
    layers: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Several images, usually one for each platform."""

    schema_version: int
    manifests: tuple[Descriptor, ...]
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


def parse(data: bytes, media_type: str, what: str) -> Manifest | Index:
    """Decode a manifest or index that was served as ``media_type``.

    ``what`` names the document in errors. A document that could be read both ways, or that calls
    itself something else than its media type, is refused (CVE-2021-41190).
    """
    if len(data) > MAX_BYTES:
        raise InvalidArgument(f"{what}: the manifest is larger than {MAX_BYTES} bytes")
    document = _object(data, what)
    own = document.get("mediaType", "")
    kind = media_type.partition(";")[0].strip() or own
    if own and own != kind:
        raise InvalidArgument(f"{what}: served as {kind!r} but calls itself {str(own)[:160]!r}")
    has_image = "config" in document or "layers" in document
    if has_image and "manifests" in document:
        raise InvalidArgument(f"{what}: ambiguous document, both a manifest and an index")
    if document.get("schemaVersion") == 1:
        raise Unsupported(f"{what}: manifest schema version 1 is no longer supported")
    if kind in media.MANIFESTS or (not kind and has_image):
        return _checked_manifest(_convert(document, Manifest, what), what)
    if kind in media.INDEXES or (not kind and "manifests" in document):
        return _checked_index(_convert(document, Index, what), what)
    raise Unsupported(f"{what}: unsupported manifest media type {kind[:160]!r}")


def select(index: Index, wanted: Platform, what: str) -> Descriptor:
    """Return the manifest of ``index`` that serves ``wanted`` best, or raise NotFound."""
    ranked: list[tuple[int, int, Descriptor]] = []
    for position, entry in enumerate(index.manifests):
        if entry.media_type not in media.MANIFESTS or entry.platform is None:
            continue
        score = rank(wanted, entry.platform)
        if score is not None:
            ranked.append((score, position, entry))
    if ranked:
        return min(ranked, key=lambda r: r[:2])[2]
    offered = [
        str(m.platform) for m in index.manifests if m.platform and m.platform.os != "unknown"
    ]
    if (
        not offered
        and len(index.manifests) == 1
        and index.manifests[0].media_type in media.MANIFESTS
    ):
        return index.manifests[0]
    raise NotFound(
        f"{what}: no matching manifest for {wanted} in the manifest list entries",
        hint=f"it offers {', '.join(sorted(set(offered)))}: choose one with --platform"
        if offered
        else None,
    )


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"{what}: not a JSON object: {error}") from error


def _convert(document: dict[str, Any], kind: type[T], what: str) -> T:
    # A null member means an absent one (image-spec considerations.md).
    present = {k: v for k, v in document.items() if v is not None}
    try:
        return msgspec.convert(present, kind)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"{what}: invalid manifest: {error}") from error


def _checked_manifest(manifest: Manifest, what: str) -> Manifest:
    if manifest.schema_version != 2:
        raise InvalidArgument(f"{what}: schema version is {manifest.schema_version}, not 2")
    if len(manifest.layers) > MAX_LAYERS:
        raise InvalidArgument(f"{what}: {len(manifest.layers)} layers are more than {MAX_LAYERS}")
    manifest.config.checked(what)
    for layer in manifest.layers:
        layer.checked(what)
    return manifest


def _checked_index(index: Index, what: str) -> Index:
    if index.schema_version != 2:
        raise InvalidArgument(f"{what}: schema version is {index.schema_version}, not 2")
    for entry in index.manifests:
        entry.checked(what)
    return index
