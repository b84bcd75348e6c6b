"""What a volume is, and which ones can be had.

Source: docker volume create; the options ``type``, ``o`` and ``device`` are those of mount(8).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from casemate.errors import InvalidArgument, Unsupported

#: Docker's mark of a volume that nobody has named: a label.
ANONYMOUS = "com.docker.volume.anonymous"

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}")
_OPTIONS = frozenset(("type", "o", "device"))
_BIND_TYPES = frozenset(("", "none", "bind"))


class Volume(msgspec.Struct, frozen=True):
    """A volume as it is written down; ``created_ns`` counts from the epoch."""

    name: str
    created_ns: int
    labels: dict[str, str] = {}
    options: dict[str, str] = {}

    @property
    def anonymous(self) -> bool:
        """Nobody has named it: it goes with its container."""
        return ANONYMOUS in self.labels

    @property
    def device(self) -> str:
        """The directory of the host that it stands for, empty for one of its own."""
        return self.options.get("device", "")


def checked_name(name: str) -> str:
    """Return ``name``. Raises InvalidArgument for one that no volume can have."""
    if not _NAME.fullmatch(name):
        raise InvalidArgument(
            f"{name[:80]!r} includes invalid characters for a local volume name, only"
            ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed',
            hint="if you intended to pass a host directory, use an absolute path",
        )
    return name


def checked_options(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options of the local driver. Raises InvalidArgument, Unsupported.

    They may say that the volume is a directory of the host: ``type=none``, ``o=bind``,
    ``device=PATH``.
    """
    if not options:
        return {}
    if unknown := sorted(set(options) - _OPTIONS):
        if unknown == ["size"]:
            raise Unsupported("volume option size is not supported yet")
        raise InvalidArgument(f"invalid option: {unknown[0][:80]!r}")
    kind, flags = options.get("type", ""), options.get("o", "").split(",")
    if kind not in _BIND_TYPES or not {"bind", "rbind"} & set(flags):
        raise Unsupported(
            f"a volume of type {kind[:40]!r} with o={options.get('o', '')[:80]!r} is not supported"
            " yet",
            hint="a directory of the host can be one: type=none, o=bind, device=PATH",
        )
    if unknown := sorted(set(flags) - {"bind", "rbind", ""}):
        raise Unsupported(f"volume option o={unknown[0][:80]!r} is not supported yet")
    device = options.get("device", "")
    if not device.startswith("/") or "\0" in device:
        raise InvalidArgument(f"invalid device {device[:200]!r}: it must be an absolute path")
    return dict(options)
