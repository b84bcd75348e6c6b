"""Layers mounted where they lie: one EROFS mount for each, shared by all containers.

    <run>/layers/<hex of the DiffID>/   mount point; the archive is the data device

The mounts outlive the engine. The next one finds them by their mount points, in which nobody else
has a say (mode 0700). They are read-only, and no program, device or set-user-id bit on them
counts on the host; an overlay made from them does not inherit that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from casemate.errors import from_os
from casemate.layer.store import Layer
from casemate.linux import mount
from casemate.oci import digest as digests
from casemate.oci.digest import Digest
from casemate.snapshot.contract import Finding, orphan

_ATTRIBUTES = (
    mount.MOUNT_ATTR_RDONLY
    | mount.MOUNT_ATTR_NOSUID
    | mount.MOUNT_ATTR_NODEV
    | mount.MOUNT_ATTR_NOEXEC
)


class ErofsLowers:
    """Mounts below ``run``/layers. Raises Error for what the kernel refuses."""

    name = "erofs"

    def __init__(self, run: str) -> None:
        self._top = os.path.realpath(f"{run}/layers")
        self._lock = threading.Lock()
        try:
            os.makedirs(self._top, 0o700, exist_ok=True)
            os.chmod(self._top, 0o700)
            self._device = os.lstat(self._top).st_dev
            _share(self._top)
        except OSError as error:
            raise from_os(error, f"cannot open {self._top}") from error

    def _path(self, diff_id: Digest) -> str:
        return f"{self._top}/{digests.encoded(diff_id)}"

    def _mounted(self, path: str) -> bool:
        try:
            return os.lstat(path).st_dev != self._device
        except FileNotFoundError:
            return False

    def ensure(self, layer: Layer) -> str:
        path = self._path(layer.diff_id)
        if self._mounted(path):
            return path
        with self._lock:
            if not self._mounted(path):
                try:
                    os.makedirs(path, 0o700, exist_ok=True)
                    _mount(layer, path)
                except OSError as error:
                    raise from_os(error, f"cannot mount layer {layer.diff_id}") from error
        return path

    def release(self, diff_id: Digest) -> None:
        path = self._path(diff_id)
        try:
            with self._lock:
                while self._mounted(path):
                    mount.unmount(path, mount.MNT_DETACH)
                os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os(error, f"cannot unmount layer {diff_id}") from error

    def clean(self) -> int:
        """Remove mount points on which nothing was mounted any more, and return how many."""
        removed = 0
        with self._lock:
            for name in os.listdir(self._top):
                path = f"{self._top}/{name}"
                if not self._mounted(path):
                    os.rmdir(path)
                    removed += 1
        return removed

    def check(self, known: frozenset[Digest]) -> Iterator[Finding]:
        """Yield the mount points that belong to none of the ``known`` layers."""
        names = {digests.encoded(diff_id) for diff_id in known}
        for name in sorted(os.listdir(self._top)):
            if name not in names:
                yield orphan(self._top, name)


def _share(path: str) -> None:
    """Make ``path`` a mount point whose mounts appear in every copy of this mount namespace.

    A room may be made before a layer is mounted that a container in it will need. The mount point
    outlives the engine, as the layers do; the next one finds it.
    """
    for one in mount.mounts():
        if one.path == path and any(p.startswith("shared:") for p in one.propagation):
            return
    mount.mount(path, path, "", mount.MS_BIND)
    mount.mount("", path, "", mount.MS_SHARED)


def _mount(layer: Layer, path: str) -> None:
    mounted = mount.detached(
        "erofs",
        [("source", layer.index), *(("device", device) for device in layer.devices), ("ro", None)],
        _ATTRIBUTES,
    )
    try:
        mount.attach(mounted, path)
    finally:
        os.close(mounted)
