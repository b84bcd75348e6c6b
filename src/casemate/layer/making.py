"""Make one inode of a layer's tree in an open directory: what every unpacker does the same way.

Names are looked up in the directory that is given and nowhere else; what exists is not followed
and not replaced. Raises OSError.
"""

from __future__ import annotations

import errno
import os
import stat

from casemate.layer.tar import Kind
from casemate.layer.tree import Node
from casemate.linux.inroot import path_of

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FORMAT: dict[Kind, int] = {
    "character": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "fifo": stat.S_IFIFO,
    "symlink": stat.S_IFLNK,
}


def new_file(directory: int, name: bytes) -> int:
    """Return a descriptor of the new, empty file ``name``, which only root may read."""
    return os.open(name, _NEW_FILE, 0o600, dir_fd=directory)


def describe(node: Node, descriptor: int) -> None:
    """Set owner, mode and attributes, in this order: a change of owner clears the other two."""
    os.fchown(descriptor, node.uid, node.gid)  # also to 0: a directory may give its own group
    os.fchmod(descriptor, node.mode)
    for name, value in (node.xattrs or {}).items():
        os.setxattr(descriptor, name, value)


def symlink(node: Node, directory: int, name: bytes) -> None:
    """Make a symbolic link."""
    os.symlink(node.target, name, dir_fd=directory)
    _describe_special(node, directory, name)


def special(node: Node, directory: int, name: bytes) -> None:
    """Make a device or a fifo."""
    device = os.makedev(node.major, node.minor)
    os.mknod(name, _FORMAT[node.kind] | 0o600, device, dir_fd=directory)
    _describe_special(node, directory, name)


def _describe_special(node: Node, directory: int, name: bytes) -> None:
    """Describe what is not to be opened: links, devices and fifos.

    By a descriptor of the inode itself, since somebody may put a link in its place meanwhile.
    """
    made = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if stat.S_IFMT(os.fstat(made).st_mode) != _FORMAT[node.kind]:
            raise OSError(errno.ESTALE, "somebody else has replaced it", os.fsdecode(name))
        os.chown(path_of(made), node.uid, node.gid)
        if node.kind != "symlink":
            os.chmod(path_of(made), node.mode)
        for key, value in (node.xattrs or {}).items():
            os.setxattr(path_of(made), key, value)
        os.utime(path_of(made), ns=(node.mtime_ns, node.mtime_ns))
    finally:
        os.close(made)
