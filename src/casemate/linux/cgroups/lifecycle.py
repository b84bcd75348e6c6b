"""Make, remove and find cgroups in all hierarchies at once.

Source: linux Documentation/admin-guide/cgroup-v2.rst (subtree_control, no internal processes),
cgroup-v1/cpusets.rst.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import re
import time

from casemate.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    from_os,
)
from casemate.linux.cgroups import cpuset
from casemate.linux.cgroups.hierarchies import WANTED, Held, Hierarchies
from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.processes import gone, pids, poll

_PART = re.compile(r"[^\x00-\x1f\x7f/]+")
_MAX_NAME = 255  # bytes, NAME_MAX
_MAX_DEPTH = 32
_MODE = 0o755
_MAX_OWN_DEPTH = 512  # of what a container made below its own cgroup


def checked(path: str) -> str:
    """Return the path of a cgroup below the root, without slashes around it.

    Raises InvalidArgument for what is none.
    """
    parts = path.strip("/").split("/")
    for part in parts:
        if not _PART.fullmatch(part) or part in (".", "..") or not _fits(part):
            raise InvalidArgument(
                f"invalid cgroup {path[:160]!r}: expected names of up to {_MAX_NAME} bytes"
                " between slashes"
            )
    if len(parts) > _MAX_DEPTH:
        raise InvalidArgument(f"invalid cgroup {path[:160]!r}: deeper than {_MAX_DEPTH}")
    return "/".join(parts)


def _fits(part: str) -> bool:
    try:
        return len(os.fsencode(part)) <= _MAX_NAME
    except UnicodeEncodeError:
        return False


def create(hierarchies: Hierarchies, path: str) -> None:
    """Make the cgroup ``path``, and those above it, in every hierarchy; all or none.

    Raises AlreadyExists, FailedPrecondition when a cgroup above holds processes of its own, or
    what the kernel's error means.
    """
    try:
        with contextlib.ExitStack() as undo:
            for held in hierarchies.held:
                _make(held, path)
                undo.callback(_forget, held.place(path))
                _prepare(held, held.place(path))
            undo.pop_all()
    except FileExistsError as error:
        raise AlreadyExists(f"cgroup {path} already exists") from error
    except OSError as error:
        raise from_os(error, f"cannot make cgroup {path}") from error


def establish(hierarchies: Hierarchies, path: str) -> bool:
    """Make the cgroup ``path`` and those above it, for cgroups below it, where it is not there.

    Returns whether something was made. Raises as ``create``, but for AlreadyExists.
    """
    made = False
    try:
        for held in hierarchies.held:
            place = held.place(path)
            if place.has("cgroup.procs"):
                continue
            with contextlib.suppress(FileExistsError):  # another thread was faster
                _make(held, path)
                _prepare(held, place)
                _inherited(held, place)
                made = True
    except OSError as error:
        raise from_os(error, f"cannot make cgroup {path}") from error
    return made


def create_in(held: Held, path: str) -> None:
    """Make the cgroup ``path`` in one hierarchy. Raises OSError, or as ``create``."""
    _make(held, path)
    _prepare(held, held.place(path))


def delete(hierarchies: Hierarchies, path: str, timeout_s: float) -> None:
    """Remove the cgroup ``path`` and those below it; one that is not there is no error.

    Processes that are about to exit are waited for. Raises Conflict when some are left after
    ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    for held in reversed(hierarchies.held):
        place = held.place(path)
        try:
            again = functools.partial(_removed_tree, place)
            if _removed(place) or poll(again, deadline - time.monotonic()):
                continue
        except OSError as error:
            raise from_os(error, f"cannot delete cgroup {path}") from error
        left = " ".join(map(str, pids(place)[:20]))
        raise Conflict(f"cannot delete cgroup {path}: processes are left: {left or 'unknown'}")


def delete_empty(hierarchies: Hierarchies, path: str) -> None:
    """Remove the cgroup ``path``; one that is not there is no error.

    Raises Conflict when processes or cgroups are in it; it may be gone in part then.
    """
    for held in reversed(hierarchies.held):
        place = held.place(path)
        try:
            if _removed(place):
                continue
            left = " ".join([*place.children(), *map(str, pids(place))][:20])
        except OSError as error:
            raise from_os(error, f"cannot delete cgroup {path}") from error
        raise Conflict(f"cannot delete cgroup {path}: it is not empty: {left or 'unknown'}")


def walk(hierarchies: Hierarchies, prefix: str) -> list[str]:
    """Return the paths of all cgroups below ``prefix`` in any hierarchy, parents first."""
    found: set[str] = set()
    for held in hierarchies.held:
        waiting = [held.place(prefix)]
        while waiting:
            place = waiting.pop()
            with contextlib.suppress(FileNotFoundError):
                waiting += [place.child(name) for name in place.children()]
                found.add(place.path)
    return sorted(found - {prefix})


def _make(held: Held, path: str) -> None:
    try:
        os.mkdir(path, _MODE, dir_fd=held.fd)
    except FileNotFoundError:
        parts = path.split("/")
        for end in range(1, len(parts)):
            place = held.place("/".join(parts[:end]))
            with contextlib.suppress(FileExistsError):
                os.mkdir(place.path, _MODE, dir_fd=held.fd)
                _prepare(held, place)
                _inherited(held, place)
        os.mkdir(path, _MODE, dir_fd=held.fd)


def _inherited(held: Held, place: Place) -> None:
    """Have what is made below a new cgroup be part of it; in version 2 it always is."""
    if held.hierarchy.version == 2:
        return
    if "cpuset" in held.hierarchy.controllers:
        # It has processors and nodes from the start then.
        place.write("cgroup.clone_children", "1")
    if "memory" in held.hierarchy.controllers and place.has("memory.use_hierarchy"):
        place.write("memory.use_hierarchy", "1")  # the kernel's own default since 5.11


def _prepare(held: Held, place: Place) -> None:
    """Make a new cgroup fit for processes: with processors, or with the wanted controllers."""
    if held.hierarchy.version == 1:
        if "cpuset" in held.hierarchy.controllers:
            cpuset.inherit(place)
        return
    wanted = [c for c in WANTED if c in held.hierarchy.controllers]
    if wanted and not set(place.read("cgroup.controllers").split()).issuperset(wanted):
        for parent in _above(place):
            _enable(parent, wanted)


def enable(hierarchies: Hierarchies, path: str, controller: str) -> None:
    """Have ``controller`` manage the cgroup ``path``, where it is one of version 2.

    Raises FailedPrecondition, OSError.
    """
    place = hierarchies.find(controller, path)
    if place and place.version == 2 and controller not in place.read("cgroup.controllers").split():
        for above in _above(place):
            _enable(above, [controller])


def _above(place: Place) -> list[Place]:
    parts = place.path.split("/")
    return [place._replace(path="/".join(parts[:end]) or ".") for end in range(len(parts))]


def _enable(place: Place, wanted: list[str]) -> None:
    enabled = place.read("cgroup.subtree_control").split()
    missing = [c for c in wanted if c not in enabled]
    if not missing:
        return
    try:
        place.write("cgroup.subtree_control", " ".join(f"+{c}" for c in missing))
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EOPNOTSUPP):
            raise
        where = "the root cgroup" if place.path == "." else f"cgroup {place.path}"
        raise FailedPrecondition(
            f"cannot manage {', '.join(missing)} below {where}: it holds processes of its own",
            hint="move them into a cgroup below it, or choose another --cgroup-parent",
        ) from error


def _forget(place: Place) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(place.path, dir_fd=place.root)


def _removed(place: Place) -> bool:
    try:
        os.rmdir(place.path, dir_fd=place.root)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        if not gone(error):
            raise
    return True


def _removed_tree(place: Place) -> bool:
    above, _, name = place.path.rpartition("/")
    try:
        fd = os.open(above or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.root)
    except FileNotFoundError:
        return True
    try:
        _empty(fd, name, 0)
    finally:
        os.close(fd)
    return _removed(place)


def _empty(parent: int, name: str, depth: int) -> None:
    """Remove the cgroups below ``name``; descriptors, as a deep tree has no path that fits."""
    if depth > _MAX_OWN_DEPTH:
        return
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        return
    try:
        with os.scandir(fd) as entries:
            children = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
        for child in children:
            _empty(fd, child, depth + 1)
            # One that is still busy stays for the next round.
            with contextlib.suppress(OSError):
                os.rmdir(child, dir_fd=fd)
    finally:
        os.close(fd)
