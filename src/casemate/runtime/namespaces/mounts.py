"""Steps for mounts: file systems made fresh, and directories and files bound from the host."""

from __future__ import annotations

from collections.abc import Iterator
from os import O_PATH

from casemate.linux.mount import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    MS_PRIVATE,
    MS_SHARED,
    OPEN_TREE_CLONE,
)
from casemate.oci.runtime import Mount
from casemate.runtime.mountoptions import MountOptions, parse
from casemate.runtime.steps import Step, step

DIRECTORY = 0
FILE = 1
#: A directory that must not be reached through a link: /proc, /sys and /dev of the image.
REAL_DIRECTORY = 2
#: Added to the first two: the place may be on procfs, where nothing else is mounted.
ON_PROC = 8


def filesystem(register: str, kind: str, options: MountOptions, source: str = "") -> Iterator[Step]:
    """Make a file system of type ``kind``, mounted nowhere yet, in ``register``."""
    yield step("fsopen", "fs", kind)
    if source:
        yield step("fsconfig", "fs", "source", source)
    for option in options.data:
        key, _, value = option.partition("=")
        yield step("fsconfig", "fs", key, value)
    yield step("fsmount", register, "fs", options.set)
    yield step("close", "fs")


def placed(register: str, path: str, kind: int, mode: int = 0o755) -> Iterator[Step]:
    """Put the tree of ``register`` at ``path`` inside the root; what is missing there is made."""
    if path.startswith("/proc/"):
        kind |= ON_PROC
    yield step("target", "place", "root", path, kind, mode)
    yield step("move_mount", register, "place")
    yield step("close", "place")


def bound(mount: Mount, *, is_directory: bool) -> Iterator[Step]:
    """Bind ``mount.source`` of the host to its destination."""
    yield from cloned(mount, "bind")
    yield from attached(mount, "bind", is_directory=is_directory)


def cloned(mount: Mount, register: str) -> Iterator[Step]:
    """Make a copy of the tree at ``mount.source``, mounted nowhere yet, in ``register``."""
    options = parse(mount.options, mount.destination)
    yield step("open", "source", mount.source, O_PATH)
    flags = OPEN_TREE_CLONE | AT_EMPTY_PATH | (AT_RECURSIVE if options.recursive_bind else 0)
    yield step("open_tree", register, "source", "", flags)
    yield step("close", "source")


def attached(mount: Mount, register: str, *, is_directory: bool) -> Iterator[Step]:
    """Put the copy in ``register`` at its destination, with its attributes."""
    yield from adjusted(parse(mount.options, mount.destination), register)
    yield from put(mount, register, is_directory=is_directory)


def adjusted(options: MountOptions, register: str) -> Iterator[Step]:
    """Give the copy in ``register`` its attributes."""
    # Without a wish the copy is private: what either side mounts later is its own affair.
    propagation = options.propagation or MS_PRIVATE
    deep = options.propagation_recursive or not options.propagation
    if propagation != MS_SHARED:  # of what was cloned while it was shared with the host
        yield step("setattr", register, 0, 0, propagation, int(deep))
    if options.set or options.clear:
        yield step("setattr", register, options.set, options.clear, 0, 0)
    if options.recursive_set or options.recursive_clear:
        yield step("setattr", register, options.recursive_set, options.recursive_clear, 0, 1)


def put(mount: Mount, register: str, *, is_directory: bool) -> Iterator[Step]:
    """Put the copy in ``register``, which has its attributes, at its destination."""
    yield from placed(register, mount.destination, DIRECTORY if is_directory else FILE)
    yield step("close", register)


def is_shared(mount: Mount) -> bool:
    """Tell whether what is mounted below a bind shall be seen on both sides.

    Such a bind is cloned before the room lets go of the host's mounts.
    """
    return not {"shared", "rshared"}.isdisjoint(mount.options)
