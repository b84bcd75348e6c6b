"""An EROFS file system of metadata only, whose files lie in the tar that it was made from.

Inodes, directories, links and attributes are in the index; the data of a file is one chunk of
the first extra device, the tar, or of the second, a side file with the sparse files laid out.
Everything is a function of the tar alone, so an index can be made again and compared. Blocks are
512 bytes, as in tar. Source: the kernel's
fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst.
"""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

from casemate.layer.tree import Node

BLOCK = 512
#: Counted up when an index made from the same tar looks different.
VERSION = 1

#: A device has at most 2^32 blocks, the number of the last one meaning "no block".
DEVICE_BYTES = (0xFFFF_FFFF) * BLOCK

_BLOCK_BITS = 9
_SLOT = 32
_SUPERBLOCK_AT = 1024
_DEVICES_AT = _SUPERBLOCK_AT + 128
_DEVICE_BYTES = 128

_MAGIC = 0xE0F5E1E2
_CHUNKED, _DEVICE_TABLE = 0x4, 0x8
_PLAIN, _INLINE, _CHUNKS = 0, 2, 4
_EXTENDED = 1
_INDEXES = 0x20
_INODE_BYTES = 64
_XATTR_HEADER = 12
#: A link of this length fits one block whatever stands before it; longer ones get own blocks.
_INLINE_MAX = 480
_FLUSH_BYTES = 1 << 20
_PAGE = 4096

_SUPERBLOCK = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQB23x")
_DEVICE = struct.Struct("<64sII56x")
_INODE = struct.Struct("<HHHHQIIIIQII16x")
_CHUNK = struct.Struct("<HHI")
_DIRENT = struct.Struct("<QHBx")
_XATTR = struct.Struct("<BBH")

# S_IFMT bits and the file types of directory entries: linux/stat.h, linux/fs_types.h.
_FORMAT = {
    "file": 0o100000,
    "directory": 0o040000,
    "symlink": 0o120000,
    "character": 0o020000,
    "block": 0o060000,
    "fifo": 0o010000,
}
_TYPE = {"file": 1, "directory": 2, "character": 3, "block": 4, "fifo": 5, "symlink": 7}

_PREFIXES = ((b"user.", 1), (b"trusted.", 4), (b"security.", 6))
_ACLS = {b"system.posix_acl_access": 2, b"system.posix_acl_default": 3}

TAR, SIDE = 1, 2

#: First block, and size in bytes.
_Place = tuple[int, int]


class Data(NamedTuple):
    """Where the data is: sizes of the tar and the side file (0: none) in blocks.

    ``side`` holds the offset in the side file, in bytes, of each sparse file.
    """

    tar_blocks: int
    side_blocks: int
    side: dict[Node, int]


def write(nodes: list[Node], file: BinaryIO, data: Data, uuid: bytes) -> int:
    """Write the index of ``nodes`` to ``file`` and return its size in bytes.

    ``nodes`` are those of a finished tree, the root first, parents before their children; their
    ``number`` is set. ``file`` is empty and can be sought.
    """
    counts = (data.tar_blocks, data.side_blocks) if data.side_blocks else (data.tar_blocks,)
    meta_block = -(-(_DEVICES_AT + _DEVICE_BYTES * len(counts)) // BLOCK)
    first_block = meta_block + _number(nodes)
    file.seek(first_block * BLOCK)
    places = _write_blocks(nodes, file, first_block)
    blocks = file.tell() // BLOCK
    file.seek(meta_block * BLOCK)
    _write_inodes(nodes, file, places, data.side)
    file.seek(_SUPERBLOCK_AT)
    file.write(
        _superblock(
            root=nodes[0].number,
            inodes=len(nodes),
            blocks=blocks,
            meta_block=meta_block,
            devices=len(counts),
            uuid=uuid,
        )
    )
    for count in counts:
        file.write(_DEVICE.pack(b"", count, 0))
    # Some tools read the superblock in one piece of this size, whatever the size of a block is.
    size = -(-blocks * BLOCK // _PAGE) * _PAGE
    file.truncate(size)
    return size


def _superblock(
    *, root: int, inodes: int, blocks: int, meta_block: int, devices: int, uuid: bytes
) -> bytes:
    return _SUPERBLOCK.pack(
        _MAGIC, 0, 0, _BLOCK_BITS, 0, root, inodes, 0, 0, blocks, meta_block, 0, uuid, b"casemate",
        _CHUNKED | _DEVICE_TABLE, 0, devices, _DEVICES_AT // _DEVICE_BYTES, 0, 0, 0, 0, 0,
    )  # fmt: skip


# Where each inode lies.


def _number(nodes: list[Node]) -> int:
    """Give each node its number, which is its place in slots; return the blocks that they take.

    Numbers begin at 1: tools take 0 for a deleted name.
    """
    slot = 1
    for node in nodes:
        head = _INODE_BYTES + (_xattr_bytes(node) if node.xattrs or node.opaque else 0)
        tail = 0
        if node.kind == "file":
            tail = _CHUNK.size + (head % _CHUNK.size) if node.size else 0
        elif node.kind == "symlink" and node.size <= _INLINE_MAX:
            tail = node.size
            while (slot * _SLOT + head) % BLOCK + tail > BLOCK:
                slot += 1
        node.number = slot
        slot += -(-(head + tail) // _SLOT)
    return -(-slot * _SLOT // BLOCK)


def _write_inodes(
    nodes: list[Node], file: BinaryIO, places: dict[Node, _Place], side: dict[Node, int]
) -> None:
    written = bytearray()
    start = 0
    for node in nodes:
        at = node.number * _SLOT - start
        written += bytes(at - len(written))
        written += _inode(node, places, side)
        if len(written) > _FLUSH_BYTES:
            file.write(written)
            start += len(written)
            written = bytearray()
    file.write(written)


def _inode(node: Node, places: dict[Node, _Place], side: dict[Node, int]) -> bytes:
    xattrs = _xattrs(node) if node.xattrs or node.opaque else b""
    size, layout, value, tail = node.size, _PLAIN, 0, b""
    if node in places:
        value, size = places[node]
    elif node.kind == "file" and size:
        # One chunk holds the whole file: in a tar, data is contiguous.
        layout = _CHUNKS
        value = _INDEXES | ((size - 1) // BLOCK).bit_length()
        device, start = (SIDE, side[node]) if node.extents is not None else (TAR, node.offset)
        tail = bytes(len(xattrs) % _CHUNK.size) + _CHUNK.pack(0, device, start // BLOCK)
    elif node.kind == "symlink":
        layout, tail = _INLINE, node.target
    elif node.kind in ("character", "block"):
        value = (node.minor & 0xFF) | (node.major << 8) | ((node.minor & ~0xFF) << 12)
    seconds, nanoseconds = divmod(node.mtime_ns, 1_000_000_000)
    inode = _INODE.pack(
        _EXTENDED | layout << 1,
        (len(xattrs) - _XATTR_HEADER) // 4 + 1 if xattrs else 0,
        _FORMAT[node.kind] | node.mode,
        0,
        size,
        value,
        node.number & 0xFFFF_FFFF,
        node.uid,
        node.gid,
        seconds & 0xFFFF_FFFF_FFFF_FFFF,
        nanoseconds,
        node.links,
    )
    return inode + xattrs + tail


# Extended attributes, all of them beside their inode.


def _xattrs(node: Node) -> bytes:
    """Return the attributes of ``node`` with their header; opaque directories get their mark."""
    found = dict(node.xattrs or {})
    if node.opaque:
        found[b"trusted.overlay.opaque"] = b"y"
    entries = [bytes(_XATTR_HEADER)]
    for name, value in sorted(found.items()):
        index, suffix = _prefixed(name)
        entry = _XATTR.pack(len(suffix), index, len(value)) + suffix + value
        entries.append(entry + bytes(-len(entry) % 4))
    return b"".join(entries)


def _xattr_bytes(node: Node) -> int:
    return len(_xattrs(node))


def _prefixed(name: bytes) -> tuple[int, bytes]:
    if name in _ACLS:
        return _ACLS[name], b""
    for prefix, index in _PREFIXES:
        if name.startswith(prefix):
            return index, name[len(prefix) :]
    raise ValueError(f"no class of attributes has {name!r}")


# What has blocks of its own: directories, and symbolic links too long to stand in an inode.


def _write_blocks(nodes: list[Node], file: BinaryIO, block: int) -> dict[Node, _Place]:
    """Write these blocks from ``block`` on; return where each begins, and its size in bytes."""
    places: dict[Node, _Place] = {}
    parents = {nodes[0]: nodes[0].number}
    for node in nodes:
        if node.children is not None:
            content = _directory(node, parents.pop(node), parents)
            places[node] = block, len(content)
        elif node.kind == "symlink" and node.size > _INLINE_MAX:
            content = node.target + bytes(-node.size % BLOCK)
            places[node] = block, node.size
        else:
            continue
        file.write(content)
        block += len(content) // BLOCK
    return places


def _directory(node: Node, parent: int, parents: dict[Node, int]) -> bytes:
    """Return the blocks of a directory; note in ``parents`` the parent of each directory in it."""
    entries = [(b".", node.number, 2), (b"..", parent, 2)]
    for name, child in (node.children or {}).items():
        entries.append((name, child.number, _TYPE[child.kind]))
        if child.children is not None:
            parents[child] = node.number
    entries.sort()
    blocks = []
    first, used = 0, 0
    for at, entry in enumerate(entries):
        needed = _DIRENT.size + len(entry[0])
        if used + needed > BLOCK:
            blocks.append(_directory_block(entries[first:at]))
            first, used = at, 0
        used += needed
    blocks.append(_directory_block(entries[first:]))
    return b"".join(blocks)


def _directory_block(entries: list[tuple[bytes, int, int]]) -> bytes:
    offset = len(entries) * _DIRENT.size
    heads = []
    for name, number, kind in entries:
        heads.append(_DIRENT.pack(number, offset, kind))
        offset += len(name)
    return b"".join(heads + [name for name, _, _ in entries]).ljust(BLOCK, b"\0")
