"""Sparse files in archives: every way of writing holes read, every map that lies refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from casemate.errors import DataLoss, InvalidArgument
from casemate.layer.limits import DEFAULT
from casemate.layer.stream import FileStream
from casemate.layer.tar import Reader
from unit.layer.archives import (
    END,
    block,
    file,
    pax,
    read,
    resummed,
)

GNU_SPARSE = [
    ["--format=gnu"],
    ["--format=pax", "--sparse-version=0.0"],
    ["--format=pax", "--sparse-version=0.1"],
    ["--format=pax", "--sparse-version=1.0"],
]
SPARSE_FILES = {
    "hole-first": [(1 << 20, b"end")],
    "hole-last": [(0, b"start"), ((1 << 20) - 1, b"\0")],
    "only-hole": [],
    "many": [(at << 16, b"x%d" % at) for at in range(100)],
}


@pytest.mark.parametrize("dialect", GNU_SPARSE, ids=" ".join)
@pytest.mark.parametrize("name", SPARSE_FILES)
def test_sparse_files_of_gnu_tar_are_understood(
    tmp_path: Path, dialect: list[str], name: str
) -> None:
    with open(tmp_path / name, "wb") as target:
        target.truncate(7 << 20)
        for at, data in SPARSE_FILES[name]:
            target.seek(at)
            target.write(data)
    (tmp_path / "after").write_text("after")
    subprocess.run(
        ["tar", "-S", *dialect, "-cf", "archive", name, "after"], cwd=tmp_path, check=True
    )
    archive = (tmp_path / "archive").read_bytes()
    sparse, after = read(archive, cut=4096)
    assert (after.name, archive[after.offset :][:5]) == (b"after", b"after")
    assert (os.fsdecode(sparse.name), sparse.size) == (name, 7 << 20)
    content = bytearray(sparse.size)
    at = sparse.offset
    for offset, length in sparse.extents or ():
        content[offset : offset + length] = archive[at : at + length]
        at += length
    assert at == sparse.offset + sparse.stored
    assert content == (tmp_path / name).read_bytes()
    with open(tmp_path / "archive", "rb") as opened:
        source = FileStream(opened.fileno(), len(archive))
        assert list(Reader(source, "layer x")) == [sparse, after]


def _sparse(records: list[tuple[bytes, bytes]], data: bytes) -> bytes:
    return pax(records) + file(b"s", data)


_V1 = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"99")]


@pytest.mark.parametrize(
    ("archive", "rule"),
    [
        (
            _sparse([(b"GNU.sparse.map", b"0,2,1,2"), (b"GNU.sparse.size", b"9")], b"x" * 4),
            "overlap",
        ),
        (
            _sparse([(b"GNU.sparse.map", b"5,2,0,2"), (b"GNU.sparse.size", b"9")], b"x" * 4),
            "go back",
        ),
        (
            _sparse([(b"GNU.sparse.map", b"0,2,4,2"), (b"GNU.sparse.size", b"9")], b"x" * 4),
            "ends inside a block",
        ),
        (_sparse([(b"GNU.sparse.map", b"8,2"), (b"GNU.sparse.size", b"9")], b"xx"), "past the end"),
        (
            _sparse([(b"GNU.sparse.map", b"0,3"), (b"GNU.sparse.size", b"9")], b"xx"),
            "3 bytes over 2",
        ),
        (_sparse([(b"GNU.sparse.map", b"0"), (b"GNU.sparse.size", b"9")], b""), "without a length"),
        (_sparse([(b"GNU.sparse.map", b"0,x"), (b"GNU.sparse.size", b"9")], b""), "not a decimal"),
        (_sparse([(b"GNU.sparse.map", b"0,2")], b"xx"), "without a size"),
        (
            _sparse([(b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")], b""),
            "unknown version",
        ),
        (
            _sparse([(b"GNU.sparse.numbytes", b"1"), (b"GNU.sparse.offset", b"1")], b"x"),
            "out of order",
        ),
        (_sparse(_V1, b"2\n0\n1\n"), "without an end"),
        (_sparse(_V1, b"9" * 2000), "without an end"),
        (_sparse(_V1, b"99999999\n".ljust(512, b"\n")), "more than 262144 extents"),
        (_sparse(_V1, b"x\n".ljust(512, b"\n")), "not a decimal"),
    ],
)
def test_a_sparse_map_that_lies_is_refused(archive: bytes, rule: str) -> None:
    with pytest.raises((InvalidArgument, DataLoss), match=rule):
        read(archive, END)


def test_a_chain_of_old_sparse_blocks_without_end_is_refused() -> None:
    head = bytearray(block(b"s", b"S", 0, magic=b"ustar  \0"))
    head[482] = 1
    more = (b"00000000000\0" * 2 * 21 + b"\1").ljust(512, b"\0")
    with pytest.raises(InvalidArgument, match="more than 50 extents"):
        read(resummed(bytes(head)), more * 10, limits=DEFAULT._replace(extents=50))
    with pytest.raises(InvalidArgument, match="ends inside its map"):
        read(resummed(bytes(head)), more)


def test_a_huge_sparse_file_counts_with_its_holes() -> None:
    records = [(b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.size", b"%d" % (1 << 50))]
    with pytest.raises(InvalidArgument, match="past"):
        read(_sparse(records, b"x"), END)
