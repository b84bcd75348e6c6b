"""What the engine mounts over in every container, for images that lack a place for it.

One directory for each image, below the writable layers and above the image's own, so that places
for mounts are in no container's changes and are not made again at every start.

<top>/<hex of the ChainID>/tree     the places that are missing; not there when none is
                          /layers   the DiffIDs of the image, as a JSON list
<top>/.work/                        directories on their way in or out
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec

from casemate.errors import from_os
from casemate.layer import scratch
from casemate.linux import inroot, mount
from casemate.oci import digest as digests
from casemate.oci.digest import Digest
from casemate.snapshot.mounts import RootMount

#: Docker's clients and scripts look for the last two.
_DIRECTORIES = ("dev", "proc", "sys")
_FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf", ".dockerenv")
_LINKS = {"etc/mtab": "/proc/mounts"}
#: An image may have something else at such a place, or a link to nowhere above it; then its
#: containers say so when they start.
_TAKEN = frozenset((errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.ENOENT))


class Stubs:
    """The directories below ``top``. Safe for threads and processes."""

    def __init__(self, top: str, *, new_api: bool = True) -> None:
        """``new_api``: overlayfs takes its layers one by one (Linux 6.7)."""
        self._top = top
        self._new_api = new_api
        self._working = f"{top}/.work"
        try:
            os.makedirs(self._working, 0o700, exist_ok=True)
        except OSError as error:
            raise from_os(error, f"cannot open {top}") from error

    def under(self, root: RootMount, layers: tuple[Digest, ...]) -> RootMount:
        """Return the writable root of the image ``layers`` with the places that the image lacks."""
        path = self._path(layers)
        try:
            if not os.path.isdir(path):
                with scratch.make(self._working) as work:
                    self._make(work.path, layers, root)
                    _rename(work.path, path)
        except OSError as error:
            raise from_os(error, "cannot make the places for mounts") from error
        tree = f"{path}/tree"
        return root._replace(lower=(tree, *root.lower)) if os.path.isdir(tree) else root

    def release(self, diff_id: Digest) -> None:
        """Remove the directories of the images that a layer was in."""
        for name in os.listdir(self._top):
            if diff_id in _layers(f"{self._top}/{name}"):
                scratch.take_away(f"{self._top}/{name}", self._working)

    def clear(self) -> None:
        """Remove all; they are made again when needed. Not while a container runs.

        Nothing here is synced, so after a loss of power nobody knows what is whole.
        """
        for name in os.listdir(self._top):
            if not name.startswith("."):
                scratch.take_away(f"{self._top}/{name}", self._working)

    def clean(self) -> int:
        """Remove what a crash left half done, and return how many."""
        return scratch.clean(self._working)

    def _path(self, layers: tuple[Digest, ...]) -> str:
        name = digests.encoded(digests.chain_id(layers)) if layers else "none"
        return f"{self._top}/{name}"

    def _make(self, work: str, layers: tuple[Digest, ...], root: RootMount) -> None:
        """Fill the directory ``work``."""
        assert root.upper
        _like(f"{work}/tree", os.stat(root.upper))
        os.mkdir(f"{work}/work", 0o700)
        placed = root._replace(upper=f"{work}/tree", work=f"{work}/work")
        if self._new_api:
            _fill(mount.detached("overlay", placed.settings()))
        else:
            os.mkdir(f"{work}/merged", 0o700)
            # Seen by nobody: in a thread of its own, whose mount namespace ends with it.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(_fill_mounted, placed, f"{work}/merged").result()
            os.rmdir(f"{work}/merged")
        scratch.take_away(f"{work}/work", self._working)
        if not os.listdir(f"{work}/tree"):
            os.rmdir(f"{work}/tree")
        with open(f"{work}/layers", "xb", buffering=0) as file:
            file.write(msgspec.json.encode(list(layers)))


def _like(path: str, root: os.stat_result) -> None:
    """Make a directory that looks as ``root`` does, since it will be seen as the root."""
    os.mkdir(path, 0o700)
    os.chown(path, root.st_uid, root.st_gid)
    os.chmod(path, stat.S_IMODE(root.st_mode))
    os.utime(path, ns=(root.st_atime_ns, root.st_mtime_ns))


def _fill_mounted(root: RootMount, merged: str) -> None:
    mount.enter_private_namespace()
    mount.mount("overlay", merged, "overlay", 0, root.options())
    try:
        _fill(inroot.open_root(merged))
    finally:
        mount.unmount(merged, mount.MNT_DETACH)


def _fill(top: int) -> None:
    """Make what is missing below the open directory ``top``, and close it."""
    try:
        for name in _DIRECTORIES:
            with _unless_taken(), _parent(top, name) as (parent, last):
                os.mkdir(last, 0o755, dir_fd=parent)
        for name in _FILES:
            with _unless_taken(), _parent(top, name) as (parent, last):
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(last, flags, 0o644, dir_fd=parent))
        for name, target in _LINKS.items():
            with _unless_taken(), _parent(top, name) as (parent, last):
                os.symlink(target, last, dir_fd=parent)
    finally:
        os.close(top)


@contextlib.contextmanager
def _unless_taken() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _TAKEN:
            raise


@contextlib.contextmanager
def _parent(top: int, name: str) -> Iterator[tuple[int, str]]:
    """Give the directory that ``name`` is in and its last part; its times stay as they were."""
    directory, _, last = name.rpartition("/")
    found = inroot.make_directories(top, directory) if directory else os.dup(top)
    try:
        # Not a path only: its times are to be set.
        parent = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(found)
    before = os.fstat(parent)
    try:
        yield parent, last
    finally:
        if os.fstat(parent).st_mtime_ns != before.st_mtime_ns:
            os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.close(parent)


def _rename(source: str, target: str) -> None:
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise  # else somebody was faster, with the same


def _layers(path: str) -> list[str]:
    try:
        with open(f"{path}/layers", "rb") as file:
            return msgspec.json.decode(file.read(), type=list[str])
    except (FileNotFoundError, msgspec.DecodeError):
        return []
