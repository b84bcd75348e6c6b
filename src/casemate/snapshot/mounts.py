"""What the root file system of a container is to be made of."""

from __future__ import annotations

from typing import NamedTuple


class RootMount(NamedTuple):
    """The directories of an overlay: ``lower``, the topmost first, and a writable pair.

    ``upper`` and ``work`` are None for a read-only root. The overlay is to be mounted with
    ``redirect_dir`` and ``metacopy`` off and without ``userxattr``; there are at least two
    directories in all. ``volatile`` (false from a snapshotter; for who runs a container to set)
    says that nobody needs the writable layer after a crash of the machine.
    """

    lower: tuple[str, ...]
    upper: str | None = None
    work: str | None = None
    volatile: bool = False
