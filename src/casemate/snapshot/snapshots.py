"""Writable layers over image layers.

<root>/snapshots/<key>/upper    what a container wrote
                      /work     overlayfs's own
                      /layers   the DiffIDs below, base first, as a JSON list
<root>/snapshots/.work/         snapshots on their way in or out
<root>/snapshots/.empty         the directory below an image without layers
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from casemate.errors import AlreadyExists, DataLoss, InvalidArgument, NotFound, from_os
from casemate.layer import scratch
from casemate.layer.ingest import Root
from casemate.layer.store import Layer, LayerStore
from casemate.layer.walk import walk
from casemate.linux.inroot import open_root
from casemate.oci import digest as digests
from casemate.oci.digest import Digest
from casemate.snapshot.contract import Finding, Lowers
from casemate.snapshot.mounts import RootMount

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
#: OVL_MAX_STACK of the kernel's fs/overlayfs/params.h.
_STACK_MAX = 500
#: Images whose lowers are remembered.
_REMEMBERED = 256
#: The unit of st_blocks: man 3 stat.
_BLOCK = 512
_BARE_ROOT = Root(mode=0o755, uid=0, gid=0, mtime_ns=0)


class _Image(NamedTuple):
    """The layers of an image that are to be seen, topmost first, and what its root is like."""

    layers: tuple[Layer, ...]
    root: Root


class Snapshotter:
    """Root file systems of the containers of one engine, below ``root``/snapshots.

    ``lowers`` decides how a layer becomes a directory. Safe for threads.
    """

    def __init__(self, root: str, store: LayerStore, lowers: Lowers) -> None:
        self._top = f"{root}/snapshots"
        self._working_place = f"{self._top}/.work"
        self._empty = f"{self._top}/.empty"
        self._store = store
        self._lowers = lowers
        self._image = functools.lru_cache(_REMEMBERED)(self._read_image)
        with _naming(f"cannot open {self._top}"):
            os.makedirs(self._top, 0o700, exist_ok=True)
            os.chmod(self._top, 0o700)
            os.makedirs(self._working_place, 0o700, exist_ok=True)
            os.makedirs(self._empty, 0o755, exist_ok=True)

    @property
    def name(self) -> str:
        """How layers become directories: ``erofs`` or ``directories``."""
        return self._lowers.name

    # Layers.

    def ensure(self, diff_id: Digest) -> str:
        """Make a layer mountable, ahead of the first container, and return its directory."""
        return self._lowers.ensure(self._store.get(diff_id))

    def release(self, diff_id: Digest) -> None:
        """Forget a layer that is about to be deleted; running containers keep it."""
        self._lowers.release(diff_id)
        self._image.cache_clear()

    def _read_image(self, layers: tuple[Digest, ...]) -> _Image:
        """Return what the kernel is to see of an image.

        A layer that hides all below it ends the search, since overlayfs does not look for the
        mark in a root. Of a layer that comes twice only the upper one counts: it brings all that
        the lower would, and the kernel refuses a directory that comes twice.
        """
        seen: dict[Digest, Layer] = {}
        for diff_id in reversed(layers):
            if diff_id not in seen:
                seen[diff_id] = layer = self._store.get(diff_id)
                if layer.record.hides_all:
                    break
        if len(seen) > _STACK_MAX:
            raise InvalidArgument(f"an image of more than {_STACK_MAX} layers cannot be mounted")
        found = tuple(seen.values())
        roots = (layer.record.root for layer in found)
        return _Image(found, next((root for root in roots if root is not None), _BARE_ROOT))

    def _lower(self, image: _Image) -> tuple[str, ...]:
        return tuple(self._lowers.ensure(layer) for layer in image.layers)

    # Snapshots.

    def prepare(self, key: str, layers: Sequence[Digest]) -> RootMount:
        """Make the writable layer ``key`` over ``layers``, base first, and return its mount.

        The new root directory has the mode, owner and time that the image says. Nothing is synced:
        a kill leaves a whole snapshot or none, but after a loss of power it needs ``restore``.
        Raises AlreadyExists, NotFound for a layer that is not stored, InvalidArgument for a bad
        key.
        """
        path = self._path(key)
        image = self._image(tuple(layers))
        lower = self._lower(image)
        with _naming(f"cannot prepare snapshot {key}"), self._working() as work:
            _make_upper(f"{work.path}/upper", image.root)
            os.mkdir(f"{work.path}/work", 0o700)
            _write_layers(f"{work.path}/layers", layers)
            try:
                os.rename(work.path, path)
            except OSError as error:
                if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
                    raise AlreadyExists(f"snapshot {key} exists") from None
                raise
        return self._writable(path, lower)

    def restore(self, key: str, layers: Sequence[Digest]) -> None:
        """Make what is missing of the snapshot ``key`` over ``layers``, after a loss of power.

        What is there stays. Raises what ``prepare`` does, but never AlreadyExists.
        """
        path = self._path(key)
        image = self._image(tuple(layers))
        with _naming(f"cannot restore snapshot {key}"):
            os.makedirs(f"{path}/work", 0o700, exist_ok=True)
            if not os.path.isdir(f"{path}/upper"):
                with self._working() as work:
                    _make_upper(f"{work.path}/upper", image.root)
                    os.rename(f"{work.path}/upper", f"{path}/upper")
        try:
            known = self._layers(key)
        except (NotFound, DataLoss):
            known = ()
        if known != tuple(layers):
            with _naming(f"cannot restore snapshot {key}"), self._working() as work:
                _write_layers(f"{work.path}/layers", layers)
                os.rename(f"{work.path}/layers", f"{path}/layers")

    def _working(self) -> contextlib.AbstractContextManager[scratch.Scratch]:
        return scratch.make(self._working_place)

    def _path(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise InvalidArgument(
                f"invalid snapshot key {key[:160]!r}: letters, digits and _.-, at most 128"
            )
        return f"{self._top}/{key}"

    def _writable(self, path: str, lower: tuple[str, ...]) -> RootMount:
        return RootMount(lower or (self._empty,), f"{path}/upper", f"{path}/work")

    def mounts(self, key: str) -> RootMount:
        """Return the mount of a snapshot; its layers are made mountable again if need be.

        Raises NotFound, DataLoss for a damaged snapshot.
        """
        path = self._path(key)
        return self._writable(path, self._lower(self._image(self._layers(key))))

    def reuse(self, key: str) -> None:
        """Have the snapshot ``key`` mounted once more after a mount that was volatile.

        Only while the machine has not gone down since: then everything written is there. Source:
        linux Documentation/filesystems/overlayfs.rst, volatile mount.
        """
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(f"{self._path(key)}/work/work/incompat/volatile")

    def planned(self, key: str, layers: Sequence[Digest]) -> RootMount:
        """Return the mount that ``prepare`` would, and make nothing but the layers mountable."""
        return self._writable(self._path(key), self._lower(self._image(tuple(layers))))

    def has(self, key: str) -> bool:
        """Tell whether there is a writable layer ``key``."""
        return os.path.isdir(self._path(key))

    def view(self, layers: Sequence[Digest]) -> RootMount:
        """Return the mount of an image without a writable layer."""
        lower = self._lower(self._image(tuple(layers)))
        # An overlay without an upper directory needs two lower ones.
        return RootMount(lower if len(lower) > 1 else (*lower, self._empty))

    def _layers(self, key: str) -> tuple[Digest, ...]:
        try:
            with open(f"{self._path(key)}/layers", "rb") as file:
                names = msgspec.json.decode(file.read(), type=list[str])
        except FileNotFoundError:
            raise NotFound(f"no such snapshot: {key}") from None
        except msgspec.DecodeError as error:
            raise DataLoss(f"the list of layers of snapshot {key} is damaged: {error}") from error
        try:
            return tuple(map(digests.parse, names))
        except InvalidArgument as error:
            raise DataLoss(f"the list of layers of snapshot {key} is damaged: {error}") from error

    def usage(self, key: str) -> int:
        """Return what the writable layer takes on disk, in bytes. Raises NotFound.

        Every file is looked at; a container may go on writing.
        """
        path = self._path(key)
        with _naming(f"cannot measure snapshot {key}"):
            try:
                top = open_root(f"{path}/upper")
            except FileNotFoundError:
                raise NotFound(f"no such snapshot: {key}") from None
            try:
                blocks = {found.status.st_ino: found.status.st_blocks for found in walk(top)}
            finally:
                os.close(top)
        return sum(blocks.values()) * _BLOCK

    def remove(self, key: str, trash: scratch.Trash) -> None:
        """Take a snapshot that is mounted nowhere out of sight, into ``trash``. Raises NotFound."""
        with _naming(f"cannot remove snapshot {key}"):
            try:
                trash.take(self._path(key))
            except FileNotFoundError:
                raise NotFound(f"no such snapshot: {key}") from None

    def keys(self) -> list[str]:
        """Return the keys of all snapshots, damaged ones as well, in order."""
        return sorted(name for name in os.listdir(self._top) if not name.startswith("."))

    def clean(self) -> int:
        """Remove what a crash left half done, and return how many."""
        with _naming(f"cannot clean {self._working_place}"):
            return scratch.clean(self._working_place) + self._lowers.clean()

    def check(self) -> Iterator[Finding]:
        """Yield what is wrong: damaged snapshots, layers that are gone, orphans."""
        known = frozenset(self._store.walk())
        for key in self.keys():
            yield from self._check_snapshot(key, known)
        yield from self._lowers.check(known)

    def _check_snapshot(self, key: str, known: frozenset[Digest]) -> Iterator[Finding]:
        path = f"{self._top}/{key}"
        try:
            layers = self._layers(key)
        except DataLoss as error:
            yield Finding("damaged", path, str(error))
            return
        except NotFound:
            if os.path.lexists(path):
                yield Finding("damaged", path, "there is no list of its layers")
            return
        for name in ("upper", "work"):
            if not os.path.isdir(f"{path}/{name}"):
                yield Finding("damaged", path, f"there is no directory {name}")
        for diff_id in sorted(set(layers) - known):
            yield Finding("missing", path, f"layer {diff_id} is not stored", diff_id)


def _write_layers(path: str, layers: Sequence[Digest]) -> None:
    with open(path, "xb", buffering=0) as file:
        file.write(msgspec.json.encode(list(layers)))


def _make_upper(path: str, root: Root) -> None:
    os.mkdir(path, 0o700)
    if root.uid or root.gid:
        os.chown(path, root.uid, root.gid)
    os.chmod(path, root.mode)
    os.utime(path, ns=(root.mtime_ns, root.mtime_ns))


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise from_os(error, what) from error
