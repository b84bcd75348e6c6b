"""Trees on disk and in archives: descriptions to compare, random archives to compare them on."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hypothesis import strategies as st

from casemate.layer import write
from casemate.layer.tar import Entry

SECOND = 10**9


def described(root: str, *, times: bool = True) -> dict[str, tuple[object, ...]]:
    """Return path → everything that a container can see of it, for the tree below ``root``."""
    found = {"": _described(f"{root}/.", times)}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, root)] = _described(path, times)
    return found


def _described(path: str, times: bool) -> tuple[object, ...]:
    status = os.lstat(path)
    mode = status.st_mode
    content: object = None
    if stat.S_ISLNK(mode):
        content = os.readlink(path)
    elif stat.S_ISREG(mode):
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    elif not stat.S_ISDIR(mode):
        content = status.st_rdev
    plain = not stat.S_ISDIR(mode)
    return (
        oct(mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns if times else None,
        (status.st_nlink, status.st_size) if plain else None,
        content,
        _attributes(path),
    )


def _attributes(path: str) -> dict[str, bytes]:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in names
        if not name.startswith("trusted.overlay.")
    }


def extracted(archive: bytes, target: Path) -> None:
    """Unpack with GNU tar, the oracle."""
    subprocess.run(
        [
            "tar",
            "-x",
            "-p",
            "-f",
            "-",
            "--warning=none",
            "--numeric-owner",
            "--delay-directory-restore",
            "--xattrs",
            "--xattrs-include=*",
            "-C",
            str(target),
        ],
        input=archive,
        check=True,
    )


def archive(members: Sequence[tuple[Entry, bytes]]) -> bytes:
    parts = []
    for entry, data in members:
        sized = entry
        if entry.kind == "file" and entry.extents is None:
            sized = entry._replace(size=len(data), stored=len(data))
        parts.append(write.member(sized) + data + write.padding(len(data)))
    return b"".join(parts) + write.END


def file(
    name: bytes, data: bytes = b"", mode: int = 0o644, **fields: object
) -> tuple[Entry, bytes]:
    return Entry(name, "file", mode, 0, 0, SECOND)._replace(**fields), data


def directory(name: bytes, mode: int = 0o755, **fields: object) -> tuple[Entry, bytes]:
    return Entry(name, "directory", mode, 0, 0, SECOND)._replace(**fields), b""


def symlink(name: bytes, target: bytes) -> tuple[Entry, bytes]:
    return Entry(name, "symlink", 0o777, 0, 0, SECOND, target=target), b""


# Random archives, such as an honest writer makes them: parents first, each name once.

part = st.one_of(
    st.sampled_from([b"a", b"b", b"c", b"-x", b"#", b"\xc3\xa4", b"\xff", b"n" * 255]),
    st.binary(min_size=1, max_size=12).filter(
        lambda raw: not set(raw) & {0, 47} and raw not in (b".", b"..") and raw[:4] != b".wh."
    ),
)
attributes = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from([b"trusted.t", b"user.a", b"security.capability", b"user." + b"n" * 250]),
        st.binary(min_size=1, max_size=900),
        min_size=1,
        max_size=3,
    ).map(lambda found: found | _capability(found)),
)


def _capability(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The kernel looks into this one: cap_net_raw+ep, as of linux/capability.h."""
    if b"security.capability" not in found:
        return {}
    return {b"security.capability": b"\1\0\0\2" + b"\0\x20\0\0" + bytes(12)}


@st.composite
def members(draw: st.DrawFn) -> list[tuple[Entry, bytes]]:
    """Return the members of a random archive, the root first."""
    paths = draw(st.lists(st.lists(part, min_size=1, max_size=3), max_size=12))
    found = [directory(b".", draw(st.integers(0, 0o1777)), mtime_ns=draw(_times))]
    directories: set[bytes] = set()
    others: list[bytes] = []
    for parts in paths:
        for end in range(1, len(parts)):
            parent = b"/".join(parts[:end])
            if parent in others:
                break
            if parent not in directories:
                directories.add(parent)
                found.append(_decorated(draw, directory(parent)))
        else:
            path = b"/".join(parts)
            if path not in directories and path not in others:
                found.append(_leaf(draw, path, others, found))
                others.append(path)
    return found


_times = st.one_of(
    st.integers(0, 2**33).map(lambda seconds: seconds * SECOND), st.integers(0, 2**33 * SECOND)
)


def _decorated(draw: st.DrawFn, member: tuple[Entry, bytes]) -> tuple[Entry, bytes]:
    entry, data = member
    found = draw(attributes) or {}
    if entry.kind not in ("file", "directory"):
        found = {key: value for key, value in found.items() if not key.startswith(b"user.")}
    if entry.kind != "file":
        found.pop(b"security.capability", None)
    owner = st.one_of(st.just(0), st.integers(0, 2**32 - 2))
    return (
        entry._replace(
            mode=0o777 if entry.kind == "symlink" else draw(st.integers(0, 0o7777)),
            uid=draw(owner),
            gid=draw(owner),
            mtime_ns=draw(_times),
            xattrs=found or None,
        ),
        data,
    )


def _leaf(
    draw: st.DrawFn, path: bytes, others: list[bytes], found: list[tuple[Entry, bytes]]
) -> tuple[Entry, bytes]:
    kind = draw(
        st.sampled_from(["file", "file", "sparse", "link", "symlink", "fifo", "block", "character"])
    )
    if kind == "link":
        if others:
            return Entry(path, "link", 0o644, 0, 0, 0, target=draw(st.sampled_from(others))), b""
        kind = "file"
    if kind == "file":
        return _decorated(draw, file(path, draw(st.binary(max_size=2000))))
    if kind == "sparse":
        return _decorated(draw, _sparse(draw, path))
    if kind == "symlink":
        target = b"t" * draw(st.one_of(st.integers(1, 60), st.integers(400, 4095)))
        return _decorated(draw, symlink(path, target))
    entry = Entry(path, kind, 0o644, 0, 0, SECOND)
    if kind != "fifo":
        entry = entry._replace(
            major=draw(st.integers(1, 4095)), minor=draw(st.integers(0, 2**20 - 1))
        )
    return _decorated(draw, (entry, b""))


def _sparse(draw: st.DrawFn, path: bytes) -> tuple[Entry, bytes]:
    blocks = draw(st.integers(1, 2000))
    cuts = sorted(draw(st.sets(st.integers(0, blocks), max_size=6)))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    extents = [(start * 512, min(end - start, 3) * 512) for start, end in pairs]
    size = blocks * 512
    if extents and sum(extents[-1]) == size:
        extents[-1] = extents[-1][0], extents[-1][1] - 100
        size -= 100
    stored = sum(length for _, length in extents)
    return file(path, b"s" * stored, size=size, stored=stored, extents=tuple(extents))
