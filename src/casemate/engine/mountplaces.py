"""Where the mounts of a container really are, once the links of its image are followed.

A link can lead from a harmless path to the root itself, or to what the kernel and the engine put
there: walls are built on that, and no content of an image may cover it (CVE-2019-16884).
"""

from __future__ import annotations

import os

from casemate.engine import rootfs
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.errors import InvalidArgument
from casemate.linux import inroot
from casemate.snapshot.mounts import RootMount

_OURS = ("proc", "sys", "dev")


def check(engine: Engine, record: Record, root: RootMount) -> None:
    """Refuse mounts that a link leads to a place that is the container's own.

    Raises InvalidArgument, OSError.
    """
    points = record.fixed.mounts
    if not points:
        return
    with rootfs.seen(root, engine.host.root_place, new_api=engine.host.overlay_layers) as seen:
        for point in points:
            found = _resolved(seen, point.destination)
            if found != point.destination and (found == "/" or found.split("/")[1] in _OURS):
                raise InvalidArgument(
                    f"cannot mount over {point.destination[:200]}: a link in the container's root"
                    f" leads to {found[:200]}, and that is the container's own"
                )


def _resolved(root: int, path: str) -> str:
    """Return ``path`` with the links followed of as much of it as there is."""
    rest = ""
    while True:
        try:
            place = inroot.open_in(root, path or "/")
        except (FileNotFoundError, NotADirectoryError):
            path, _, name = path.rpartition("/")
            rest = f"/{name}{rest}"
            continue
        try:
            whole = os.readlink(inroot.path_of(place)).rstrip("/") + rest
        finally:
            os.close(place)
        return whole or "/"
