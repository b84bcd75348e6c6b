"""Layers unpacked to directories, once each, for kernels that cannot mount an archive.

<root>/unpacked/<hex of the DiffID>/   the files of the layer, whiteouts in overlayfs's form
<root>/unpacked/.work/                 layers on their way in or out
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from casemate.errors import from_os
from casemate.layer import ingest, scratch
from casemate.layer.apply import apply
from casemate.layer.limits import NONE
from casemate.layer.store import Layer
from casemate.layer.stream import FileStream, TarFile
from casemate.linux.inroot import open_root
from casemate.linux.mount import sync_filesystem
from casemate.oci import digest as digests
from casemate.oci.digest import Digest
from casemate.snapshot.contract import Finding, orphan


class DirectoryLowers:
    """Directories below ``root``/unpacked; each appears complete, by one rename."""

    name = "directories"

    def __init__(self, root: str) -> None:
        self._top = f"{root}/unpacked"
        self._work = f"{self._top}/.work"
        try:
            os.makedirs(self._work, 0o700, exist_ok=True)
            os.chmod(self._top, 0o700)
        except OSError as error:
            raise from_os(error, f"cannot open {self._top}") from error

    def _path(self, diff_id: Digest) -> str:
        return f"{self._top}/{digests.encoded(diff_id)}"

    def ensure(self, layer: Layer) -> str:
        """Return the directory of ``layer``; unpacks it unless that was done before."""
        path = self._path(layer.diff_id)
        if not os.path.isdir(path):
            try:
                with scratch.make(self._work) as work:
                    _unpack(layer, f"{work.path}/tree")
                    _move(f"{work.path}/tree", path)
            except OSError as error:
                raise from_os(error, f"cannot unpack layer {layer.diff_id}") from error
        return path

    def release(self, diff_id: Digest) -> None:
        """Remove the directory of a layer; an overlay that is mounted over it would break."""
        try:
            scratch.take_away(self._path(diff_id), self._work)
        except OSError as error:
            raise from_os(error, f"cannot remove unpacked layer {diff_id}") from error

    def clean(self) -> int:
        """Remove what a crash left half done, and return how many."""
        return scratch.clean(self._work)

    def check(self, known: frozenset[Digest]) -> Iterator[Finding]:
        """Yield the directories that belong to none of the ``known`` layers."""
        names = {digests.encoded(diff_id) for diff_id in known}
        for name in sorted(os.listdir(self._top)):
            if name not in names and not name.startswith("."):
                yield orphan(self._top, name)


def _unpack(layer: Layer, path: str) -> None:
    """Unpack ``layer`` to a new directory, and write it to disk."""
    os.mkdir(path, 0o700)
    with TarFile(layer.devices[0], layer.size_bytes) as tar:
        what = ingest.Source(f"layer {layer.diff_id}", NONE)
        parsed = ingest.parse(FileStream(tar.fileno(), layer.size_bytes), what)
        root = open_root(path)
        try:
            apply(parsed.nodes, tar.fileno(), root)
        finally:
            os.close(root)
        # One call for the whole file system costs less than one for each of thousands of files.
        sync_filesystem(tar.fileno())


def _move(path: str, target: str) -> None:
    try:
        os.rename(path, target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return  # somebody else was faster; ours goes
    scratch.sync_directory(os.path.dirname(target))
