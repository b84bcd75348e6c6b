"""Hand-made archives: every block as hostile or as odd as a test wants it."""

from __future__ import annotations

import io
import tarfile

from casemate.layer.limits import DEFAULT, Limits
from casemate.layer.stream import Stream
from casemate.layer.tar import Entry, Reader
from casemate.layer.tree import Node, Tree

END = bytes(1024)


def block(
    name: bytes,
    kind: bytes = b"0",
    size: int = 0,
    *,
    mode: bytes = b"0000644\0",
    uid: bytes = b"0000000\0",
    gid: bytes = b"0000000\0",
    mtime: bytes = b"00000000000\0",
    target: bytes = b"",
    magic: bytes = b"ustar\x0000",
    device: bytes = b"0000000\x000000000\0",
    prefix: bytes = b"",
    size_field: bytes | None = None,
    checksum: bytes | None = None,
) -> bytes:
    """Return one header block with a right checksum, unless told otherwise."""
    size_field = b"%011o\0" % size if size_field is None else size_field
    head = b"".join(
        (
            name.ljust(100, b"\0"),
            mode,
            uid,
            gid,
            size_field,
            mtime,
            b" " * 8,
            kind,
            target.ljust(100, b"\0"),
            magic,
            bytes(64),
            device,
            prefix,
        )
    ).ljust(512, b"\0")
    assert len(head) == 512
    checksum = b"%06o\0 " % sum(head) if checksum is None else checksum
    return head[:148] + checksum + head[156:]


def resummed(head: bytes) -> bytes:
    """Return a changed header with its checksum made right again."""
    head = head[:148] + b" " * 8 + head[156:]
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def file(name: bytes, data: bytes = b"", kind: bytes = b"0", **fields: bytes) -> bytes:
    return block(name, kind, len(data), **fields) + padded(data)


def directory(name: bytes, **fields: bytes) -> bytes:
    return block(name, b"5", **{"mode": b"0000755\0", **fields})


def symlink(name: bytes, target: bytes) -> bytes:
    return block(name, b"2", target=target, mode=b"0000777\0")


def hard_link(name: bytes, target: bytes) -> bytes:
    return block(name, b"1", target=target)


def pax(records: list[tuple[bytes, bytes]], kind: bytes = b"x") -> bytes:
    """Return a pax header, its lengths found the slow way."""
    data = b""
    for key, value in records:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 1
        while len(b"%d" % length) + len(body) != length:
            length += 1
        data += b"%d" % length + body
    return file(b"pax", data, kind)


def read(*parts: bytes, limits: Limits = DEFAULT, cut: int = 1000) -> list[Entry]:
    """Return the entries of an archive that arrives in chunks of ``cut`` bytes."""
    return list(reader(*parts, limits=limits, cut=cut))


def reader(*parts: bytes, limits: Limits = DEFAULT, cut: int = 1000) -> Reader:
    data = b"".join(parts)
    chunks = (data[at : at + cut] for at in range(0, len(data), cut))
    return Reader(Stream(chunks), "layer x", limits)


def tree(*parts: bytes, limits: Limits = DEFAULT) -> Tree:
    found = Tree("layer x", limits)
    for entry in reader(*parts, limits=limits):
        found.add(entry)
    return found


def names(*parts: bytes) -> dict[str, Node]:
    """Return path → node of the finished tree of an archive, without its root."""
    found = tree(*parts)
    found.finish()
    paths: dict[str, Node] = {}

    def walk(node: Node, path: bytes) -> None:
        for name, child in (node.children or {}).items():
            paths[(path + name).decode()] = child
            walk(child, path + name + b"/")

    walk(found.root, b"")
    return paths


def made(members: list[tuple[tarfile.TarInfo, bytes]], format: int) -> bytes:
    """Return an archive as Python's tarfile writes it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()
