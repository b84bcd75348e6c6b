"""A container's root as the container sees it, held by a descriptor and looked into in-root.

Of a container that runs it is the root of its own mount namespace, with all that is mounted there.
Of one that does not it is its layers with what would be mounted, in a namespace of a thread of our
own: nobody else sees it, and it is gone with the thread, whatever becomes of the engine.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from casemate.engine import bundle, mountpoints, rootfs, translate
from casemate.engine.engine import Engine
from casemate.engine.records import MountPoint, Record
from casemate.errors import (
    Conflict,
    Error,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    from_os,
)
from casemate.linux import inroot, mount, pidfd
from casemate.linux.filesystem import made_up
from casemate.snapshot.mounts import RootMount
from casemate.walls import ids


class Root(NamedTuple):
    """The open root (O_PATH), its owners as the host knows them.

    ``first_id`` is what id 0 of the container is on the host, 0 when ids are the same.
    """

    descriptor: int
    first_id: int = 0

    def id_of(self, id_: int) -> int:
        """Return a user or group of the host as the container knows it."""
        return ids.inside(self.first_id, id_)

    def on_host(self, id_: int) -> int:
        """Return a user or group of the container as the host knows it. Raises InvalidArgument."""
        return ids.on_host(self.first_id, id_)


class Ended(Conflict):
    """The container does not run, or not any more."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"container {record.name} is not running")


def first_pid(engine: Engine, record: Record) -> int:
    """Return the pid of the container's first process, 0 when there is none."""
    shim = engine.live(record.id).shim
    return shim.room_pid if shim and record.active else 0


@contextlib.contextmanager
def running(record: Record, pid: int) -> Iterator[Root]:
    """Give the root of a container that runs; ``pid`` is its first process.

    Raises Ended when it has, or ``pid`` is 0.
    """
    if not pid:
        raise Ended(record)
    with ThreadPoolExecutor(1, "inside") as thread:
        root = thread.submit(_root_of, record, pid).result()
    try:
        yield Root(root, record.fixed.first_id)
    finally:
        os.close(root)


def _root_of(record: Record, pid: int) -> int:
    """Return the root of the process's mount namespace; the calling thread stays in it."""
    try:
        process = os.pidfd_open(pid)
        try:
            with open(f"/proc/{pid}/cgroup", encoding="ascii", errors="replace") as file:
                cgroups = file.read()
            # Looked at after the cgroup: who was there is who the descriptor stands for.
            if record.state.cgroup not in cgroups or pidfd.has_ended(process):
                raise Ended(record)
            mount.enter_namespace(process)
            return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(process)
    except (ProcessLookupError, FileNotFoundError):
        raise Ended(record) from None


@contextlib.contextmanager
def stopped(engine: Engine, record: Record, *, writable: bool) -> Iterator[Root]:
    """Give the root of a container that does not run, with what it mounts.

    With ``writable`` what is written goes into its writable layer: it must not be started
    meanwhile. Raises FailedPrecondition for a mount whose source is not there.
    """
    root = engine.root(record)
    points = _points(engine, record)
    new_api = engine.host.overlay_layers
    if not writable and not points:
        with rootfs.seen(root, engine.host.root_place, new_api=new_api) as seen:
            yield Root(seen)
        return
    with ThreadPoolExecutor(1, "inside") as thread:
        made = thread.submit(_mounted, engine, record, root, points, writable).result()
        try:
            yield Root(made)
        finally:
            os.close(made)


def _points(engine: Engine, record: Record) -> list[MountPoint]:
    """Return what is mounted below the root from outside of it, parents first."""
    directory = engine.paths.container(record.id)
    files = (
        MountPoint(type="bind", source=f"{directory}/{name}", destination=destination)
        for name, destination in bundle.file_names(record).items()
        if os.path.exists(f"{directory}/{name}")  # not before the first start
    )
    chosen = [point for point in (*files, *record.fixed.mounts) if point.type != "tmpfs"]
    return sorted(chosen, key=lambda point: point.destination.rstrip("/").count("/"))


def _mounted(
    engine: Engine, record: Record, root: RootMount, points: list[MountPoint], writable: bool
) -> int:
    """Mount everything in a namespace of this thread's own, and open it."""
    mount.enter_private_namespace()
    place = engine.host.root_place
    try:
        mount.mount("casemate", place, "tmpfs", 0, "mode=700")
        for name in ("root", "upper", "work"):
            os.mkdir(f"{place}/{name}", 0o755)
        if not writable:
            # Places for mounts that were never made are made in passing.
            layers = (root.upper, *root.lower) if root.upper else root.lower
            root = RootMount(layers, f"{place}/upper", f"{place}/work")
        _mount_root(root, f"{place}/root", new_api=engine.host.overlay_layers)
        opened = inroot.open_root(f"{place}/root")
        for point in points:
            _attach(opened, point, record)
        if not writable or translate.readonly_root(record.fixed.host, engine.machine):
            mount.set_attributes(opened, mount.MOUNT_ATTR_RDONLY)
        return opened
    except OSError as error:
        raise from_os(error, f"cannot mount the root of container {record.name}") from error


def _mount_root(root: RootMount, place: str, *, new_api: bool) -> None:
    if not new_api:
        mount.mount("overlay", place, "overlay", 0, root.options())
        return
    mounted = mount.detached("overlay", root.settings())
    try:
        mount.attach(mounted, place)
    finally:
        os.close(mounted)


def _attach(root: int, point: MountPoint, record: Record) -> None:
    try:
        deep = 0 if mountpoints.is_flat(point) else mount.AT_RECURSIVE
        clone = mount.open_tree(point.source, mount.OPEN_TREE_CLONE | deep)
    except OSError as error:
        raise FailedPrecondition(
            f"cannot mount {point.source} at {point.destination} of container {record.name}:"
            f" {os.strerror(error.errno or 0).lower()}"
        ) from error
    try:
        target = _place(root, point)
        try:
            mount.attach(clone, target)
        finally:
            os.close(target)
        if not point.writable:
            mount.set_attributes(clone, mount.MOUNT_ATTR_RDONLY, flags=mount.AT_RECURSIVE)
    finally:
        os.close(clone)


def _place(root: int, point: MountPoint) -> int:
    """Return a descriptor of where ``point`` is mounted, which is made if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        return inroot.open_in(root, point.destination)
    if os.path.isdir(point.source):
        return inroot.make_directories(root, point.destination)
    parent, _, name = point.destination.rpartition("/")
    directory = inroot.make_directories(root, parent)
    try:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(name, flags, 0o644, dir_fd=directory))
        return inroot.open_in(directory, name)
    finally:
        os.close(directory)


def refuse_made_up(place: int, path: str) -> None:
    """Raise InvalidArgument when ``place`` is in a file system that the kernel makes up."""
    if kind := made_up(place):
        raise InvalidArgument(
            f"cannot copy {path[:200]}: it is in a {kind} file system, which the kernel makes up"
        )


@contextlib.contextmanager
def errors(record: Record, path: str) -> Iterator[None]:
    """Raise what the system refuses as the error that fits, in Docker's words."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(
            f"Could not find the file {path[:4096]} in container {record.name}"
        ) from error
    except OSError as error:
        if isinstance(error.filename, bytes):
            error.filename = os.fsdecode(error.filename)
        kinds: dict[int, type[Error]] = {
            errno.ENOTDIR: InvalidArgument,
            errno.ELOOP: InvalidArgument,
            errno.EROFS: InvalidArgument,
            errno.EXDEV: InvalidArgument,
            errno.ENAMETOOLONG: InvalidArgument,
        }
        kind = kinds.get(error.errno or 0)
        if kind is None:
            raise from_os(error, f"cannot copy {path[:200]} of container {record.name}") from error
        raise kind(f"cannot copy {path[:200]}: {os.strerror(error.errno or 0).lower()}") from error
