"""Platforms as the API takes them where it wants a document instead of ``os/arch/variant``."""

from __future__ import annotations

from casemate.errors import InvalidArgument


def document(text: str) -> dict[str, str]:
    """Return ``os/architecture[/variant]`` as a document. Raises InvalidArgument."""
    parts = text.lower().split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise InvalidArgument(
            f"invalid platform {text!r}: it must be os/architecture or os/architecture/variant"
        )
    return dict(zip(("os", "architecture", "variant"), parts, strict=False)) | {
        "architecture": parts[1]
    }
