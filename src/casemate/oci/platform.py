"""Platforms: parse, normalise and choose.

Source: image-spec v1.1 image-index.md (platform object); names are GOOS and GOARCH.
"""

from __future__ import annotations

import os
import re

import msgspec

from casemate.errors import InvalidArgument

_PART = re.compile(r"[A-Za-z0-9_.-]+")

# uname's machine, and other spellings, to (GOARCH, variant).
_ARCHITECTURES: dict[str, tuple[str, str]] = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "amd64": ("amd64", ""),
    "i386": ("386", ""),
    "i686": ("386", ""),
    "386": ("386", ""),
    "aarch64": ("arm64", "v8"),
    "arm64": ("arm64", "v8"),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "arm": ("arm", "v7"),
    "riscv64": ("riscv64", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
}


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """Operating system, architecture and variant, as an index names them."""

    architecture: str
    os: str
    variant: str = ""
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")

    def __str__(self) -> str:
        return "/".join(p for p in (self.os, self.architecture, self.variant) if p)


def host() -> Platform:
    """Return the platform that this kernel runs natively."""
    machine = os.uname().machine
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return Platform(architecture, "linux", variant)


def parse(text: str) -> Platform:
    """Parse ``os/arch[/variant]``, ``arch`` or ``os``. Raises InvalidArgument."""
    parts = text.split("/")
    if len(parts) > 3 or not all(_PART.fullmatch(p) for p in parts):
        raise InvalidArgument(
            f"invalid platform {text[:160]!r}: expected OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT"
        )
    if len(parts) == 1:
        name = parts[0].lower()
        if name in ("linux", "windows", "freebsd", "darwin"):
            return Platform(host().architecture, name, host().variant)
        return _normal("linux", name, "")
    return _normal(parts[0].lower(), parts[1].lower(), parts[2].lower() if len(parts) == 3 else "")


def normal(platform: Platform) -> Platform:
    """Return ``platform`` with its usual spelling and default variant."""
    return _normal(platform.os.lower(), platform.architecture.lower(), platform.variant.lower())


def _normal(os_name: str, architecture: str, variant: str) -> Platform:
    name, default = _ARCHITECTURES.get(architecture, (architecture, ""))
    return Platform(name, os_name, variant or default)


def rank(wanted: Platform, offered: Platform) -> int | None:
    """Return how well ``offered`` serves ``wanted``: 0 is exact, larger is worse, None never.

    An older arm variant runs on a newer processor; nothing else is compatible.
    """
    have, want = normal(offered), normal(wanted)
    if (have.os, have.architecture) != (want.os, want.architecture):
        return None
    if have.variant == want.variant:
        return 0
    if want.architecture in ("arm", "amd64", "arm64"):
        want_level, have_level = _level(want.variant), _level(have.variant)
        if have_level <= want_level:
            return want_level - have_level
    return None


def _level(variant: str) -> int:
    digits = variant.removeprefix("v")
    return int(digits) if digits.isdigit() and len(digits) < 3 else 0
