"""What the root file system of a container is to be made of."""

from __future__ import annotations

import re
from typing import NamedTuple

#: Features of overlayfs. Off: directories that only point to another, files that are only metadata,
#: a shared index; so a writable layer stays readable as a plain directory. On where it can be: one
#: device number for the whole root, or ``du -x`` and ``tar --one-file-system`` would pass over what
#: comes from a mounted layer.
FEATURES = ("redirect_dir=off", "metacopy=off", "index=off", "xino=auto")


class RootMount(NamedTuple):
    """The directories of an overlay: ``lower``, the topmost first, and a writable pair.

    ``upper`` and ``work`` are None for a read-only root. The overlay is to be mounted with
    ``FEATURES`` and without ``userxattr``; there are at least two directories in all.
    ``volatile`` (false from a snapshotter; for who runs a container to set)
    says that nobody needs the writable layer after a crash of the machine.
    """

    lower: tuple[str, ...]
    upper: str | None = None
    work: str | None = None
    volatile: bool = False

    def options(self) -> str:
        """Return the options for mount(2); the kernel takes at most a page of them."""
        options = ["lowerdir=" + ":".join(map(_escaped, self.lower))]
        if self.upper is not None and self.work is not None:
            options += [f"upperdir={_escaped(self.upper)}", f"workdir={_escaped(self.work)}"]
        if self.volatile:
            options.append("volatile")
        return ",".join([*options, *FEATURES])

    def settings(self) -> list[tuple[str, str | None]]:
        """Return the options for fsconfig(2), which takes any number of layers (Linux 6.7)."""
        settings: list[tuple[str, str | None]] = [("lowerdir+", path) for path in self.lower]
        if self.upper is not None and self.work is not None:
            settings += [("upperdir", self.upper), ("workdir", self.work)]
        if self.volatile:
            settings.append(("volatile", None))
        for feature in FEATURES:
            name, _, value = feature.partition("=")
            settings.append((name, value))
        return settings


def _escaped(path: str) -> str:
    """Return ``path`` for an option: backslash, colon and comma would end it."""
    return re.sub(r"([\\:,])", r"\\\1", path)
