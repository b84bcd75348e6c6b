"""Unpack a layer into a directory that is to be a lower directory of an overlay.

What is unpacked is the finished tree, not the archive: each node is made once, in a directory that
was made just before, by a descriptor of it. So nothing exists that could be followed, replaced
or written through. Data is copied inside the kernel from the archive's file. Whiteouts come
out as overlayfs wants them: devices 0:0, and ``trusted.overlay.opaque``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from casemate.layer import making
from casemate.layer.copying import copy_range
from casemate.layer.tar import Kind
from casemate.layer.tree import Node
from casemate.linux.inroot import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, open_in

_OPAQUE = "trusted.overlay.opaque"
_BELOW = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV


class _Place(NamedTuple):
    """An open directory, its path below the root, and the archive's file."""

    descriptor: int
    path: bytes
    tar: int


def apply(nodes: list[Node], tar: int, root: int) -> None:
    """Make what ``nodes`` describe in the empty directory ``root``; ``tar`` holds the data.

    ``nodes`` are those of a finished tree, parents before children. Raises OSError.
    """
    made: dict[Node, bytes] = {}
    paths: dict[Node, bytes] = {nodes[0]: b""}
    for node in nodes:
        if node.children is None:
            continue
        path = paths.pop(node)
        directory = open_in(root, path, os.O_RDONLY | os.O_DIRECTORY, resolve=_BELOW)
        try:
            place = _Place(directory, path + b"/" if path else b"", tar)
            for name, child in node.children.items():
                if child in made:
                    _link(root, made[child], place, name)
                    continue
                _MAKE[child.kind](child, place, name)
                if child.children is not None:
                    paths[child] = place.path + name
                elif child.links > 1:
                    made[child] = place.path + name
            # Last, since making children changes the time of their parent, and only theirs.
            _describe_directory(node, directory)
        finally:
            os.close(directory)


def _link(root: int, target: bytes, place: _Place, name: bytes) -> None:
    os.link(target, name, src_dir_fd=root, dst_dir_fd=place.descriptor, follow_symlinks=False)


def _make_directory(node: Node, place: _Place, name: bytes) -> None:
    os.mkdir(name, 0o700, dir_fd=place.descriptor)


def _describe_directory(node: Node, directory: int) -> None:
    making.describe(node, directory)
    if node.opaque:
        os.setxattr(directory, _OPAQUE, b"y")
    os.utime(directory, ns=(node.mtime_ns, node.mtime_ns))


def _make_file(node: Node, place: _Place, name: bytes) -> None:
    file = making.new_file(place.descriptor, name)
    try:
        if node.extents is None:
            copy_range(place.tar, node.offset, file, 0, node.size)
        else:
            _copy_extents(node, place.tar, file)
        making.describe(node, file)
        os.utime(file, ns=(node.mtime_ns, node.mtime_ns))
    finally:
        os.close(file)


def _copy_extents(node: Node, tar: int, file: int) -> None:
    stored = node.offset
    for offset, length in node.extents or ():
        copy_range(tar, stored, file, offset, length)
        stored += length
    os.ftruncate(file, node.size)


def _make_symlink(node: Node, place: _Place, name: bytes) -> None:
    making.symlink(node, place.descriptor, name)


def _make_special(node: Node, place: _Place, name: bytes) -> None:
    making.special(node, place.descriptor, name)


_MAKE: dict[Kind, Callable[[Node, _Place, bytes], None]] = {
    "file": _make_file,
    "directory": _make_directory,
    "symlink": _make_symlink,
    "character": _make_special,
    "block": _make_special,
    "fifo": _make_special,
}
