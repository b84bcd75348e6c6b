"""What the API says about images in a list, as rows: one for each name."""

from __future__ import annotations

from casemate.cli import timestamps
from casemate.cli.containers import short_id
from casemate.cli.listing import Listing
from casemate.cli.reference import parse
from casemate.cli.units import human_size
from casemate.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Image = dict[str, Any]

_NONE = "<none>"


def rows(images: list[Image], by_digest: bool, digest_rows: bool) -> Iterator[Image]:
    """Yield a row for each tag of each image, and for each digest with ``by_digest``.

    ``digest_rows``: a name that has only digests gets a row for each of them.
    """
    for image in images:
        tags = _by_name(image.get("RepoTags"), "tag")
        digests = _by_name(image.get("RepoDigests"), "digest")
        if not tags and not digests:
            yield _row(image, _NONE, _NONE, _NONE)
        for name, found in tags.items():
            known = digests.pop(name, [])
            for tag in found:
                for digest in (known if by_digest else []) or [_NONE]:
                    yield _row(image, name, tag, digest)
        for name, found in digests.items():
            for digest in found if digest_rows else [""]:
                yield _row(image, name, _NONE, digest)


def _by_name(texts: list[str] | None, part: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts or []:
        try:
            reference = parse(text)
        except InvalidArgument:
            continue  # <none>:<none> of old engines
        version = reference.tag if part == "tag" else reference.digest
        if version:
            found.setdefault(reference.familiar_name, []).append(version)
    return found


def _row(image: Image, name: str, tag: str, digest: str) -> Image:
    return image | {"_name": name, "_tag": tag, "_digest": digest}


def _identifier(item: Image, whole: bool) -> str:
    return str(item["Id"]) if whole else short_id(item["Id"])


def _containers(item: Image, whole: bool) -> str:
    count = item.get("Containers", -1)
    return "N/A" if count == -1 else str(count)


def _shared(item: Image, whole: bool) -> str:
    size = item.get("SharedSize", -1)
    return "N/A" if size == -1 else human_size(size)


def _unique(item: Image, whole: bool) -> str:
    size, shared = item.get("Size", -1), item.get("SharedSize", -1)
    return "N/A" if -1 in (size, shared) else human_size(size - shared)


LISTING = Listing(
    {
        "Repository": ("REPOSITORY", lambda item, whole: item["_name"]),
        "Tag": ("TAG", lambda item, whole: item["_tag"]),
        "Digest": ("DIGEST", lambda item, whole: item["_digest"]),
        "ID": ("IMAGE ID", _identifier),
        "CreatedSince": ("CREATED", lambda item, whole: timestamps.ago(item.get("Created") or 0)),
        "CreatedAt": ("CREATED AT", lambda item, whole: timestamps.local(item.get("Created") or 0)),
        "Size": ("SIZE", lambda item, whole: human_size(item.get("Size") or 0, 3)),
        "VirtualSize": ("SIZE", lambda item, whole: human_size(item.get("Size") or 0)),
        "SharedSize": ("SHARED SIZE", _shared),
        "UniqueSize": ("UNIQUE SIZE", _unique),
        "Containers": ("CONTAINERS", _containers),
    },
    ("Repository", "Tag", "ID", "CreatedSince", "Size"),
)
WITH_DIGESTS = Listing(
    LISTING.columns, ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
)
