"""Can this machine mount archives, or directories? Tried for real, with a layer of one file.

What is tried happens in a mount namespace of a thread that ends with the attempt.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from casemate.errors import Error
from casemate.layer import scratch, write
from casemate.layer.store import LayerStore
from casemate.layer.tar import Entry
from casemate.linux import mount
from casemate.snapshot.contract import Lowers
from casemate.snapshot.directories import DirectoryLowers
from casemate.snapshot.erofs import ErofsLowers
from casemate.snapshot.snapshots import Snapshotter

_WORD = b"casemate"


def why_not_erofs(root: str) -> str | None:
    """Return why layers below ``root`` cannot be mounted where they lie; None when they can.

    Needs Linux 6.12 (EROFS on plain files), CAP_SYS_ADMIN in the initial user namespace, and a file
    system below ``root`` that is not itself stacked on another.
    """
    return _tried(root, lambda place: ErofsLowers(f"{place}/run"))


def why_not_directories(root: str) -> str | None:
    """Return why directories below ``root`` cannot be layers of an overlay; None when they can."""
    return _tried(root, DirectoryLowers)


def _tried(root: str, lowers: Callable[[str], Lowers]) -> str | None:
    place = f"{root}/probe"
    try:
        os.makedirs(place, 0o700, exist_ok=True)
        scratch.clean(place)
        with scratch.make(place) as work, ThreadPoolExecutor(1) as thread:
            return thread.submit(_try, work.path, lowers).result()
    except OSError as error:
        return str(error)


def _try(place: str, lowers: Callable[[str], Lowers]) -> str | None:
    """Mount a root file system of one layer, read from it and write to it."""
    target = f"{place}/merged"
    try:
        mount.enter_private_namespace()
        store = LayerStore(place)
        layer = store.ingest([_archive()], what="the probe's layer")
        root = Snapshotter(place, store, lowers(place)).prepare("probe", [layer.diff_id])
        os.mkdir(target)
        mount.mount("overlay", target, "overlay", 0, root.options())
        with open(f"{target}/file", "r+b") as file:
            if file.read() != _WORD:
                return "a file in a mounted layer does not hold what the archive holds"
            file.write(_WORD)
    except (Error, OSError) as error:
        return str(error)
    return None


def _archive() -> bytes:
    size = len(_WORD)
    entry = Entry(b"file", "file", 0o600, 0, 0, 0, size=size, stored=size)
    return write.member(entry) + _WORD + write.padding(size) + write.END
