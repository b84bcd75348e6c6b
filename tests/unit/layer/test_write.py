"""The tar writer: what it writes, it and others read back, and nothing of this machine is in it."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.layer import write
from casemate.layer.stream import Stream
from casemate.layer.tar import Entry, Reader
from unit.layer.archives import read


def archive(*members: tuple[Entry, bytes]) -> bytes:
    parts = [write.member(entry) + data + write.padding(entry.stored) for entry, data in members]
    return b"".join(parts) + write.END


def test_a_plain_entry_is_one_ustar_header() -> None:
    entry = Entry(b"bin/sh", "file", 0o755, 0, 0, 10**18, size=3, stored=3)
    written = write.member(entry)
    assert len(written) == 512
    info = tarfile.TarInfo.frombuf(written, "utf-8", "strict")
    assert (info.name, info.mode, info.size, info.mtime) == ("bin/sh", 0o755, 3, 10**9)
    assert (info.uname, info.gname) == ("", "")


def test_a_directory_gets_its_slash() -> None:
    entry = Entry(b"d", "directory", 0o755, 0, 0, 0)
    assert write.member(entry).startswith(b"d/\0")


@pytest.mark.parametrize("length", [99, 100, 101, 155, 156, 255, 256, 257, 300])
def test_long_names_are_split_or_recorded(length: int) -> None:
    for name in (
        b"n" * length,
        b"d/" * (length // 2) + b"x",
        (b"d" * 99 + b"/") * (length // 100) + b"x",
    ):
        entry = Entry(name, "file", 0o644, 0, 0, 0)
        assert read(archive((entry, b"")))[0].name == name
        with tarfile.open(fileobj=io.BytesIO(archive((entry, b"")))) as oracle:
            assert oracle.getnames() == [name.decode().rstrip("/")]


def test_names_that_are_not_utf8_survive() -> None:
    entry = Entry(b"\xff\xfe" * 60, "symlink", 0o777, 0, 0, 0, target=b"\x80" * 120)
    (found,) = read(archive((entry, b"")))
    assert (found.name, found.target) == (entry.name, entry.target)
    with tarfile.open(fileobj=io.BytesIO(archive((entry, b"")))) as oracle:
        assert oracle.getnames() == [entry.name.decode("utf-8", "surrogateescape")]


def test_numbers_too_large_for_ustar_are_recorded() -> None:
    entry = Entry(b"x", "file", 0o644, 2**32 - 2, 2**21, -1_500_000_000, stored=2**40, size=2**40)
    reader = Reader(Stream([write.member(entry)]), "x")
    found = next(iter(reader))
    assert (found.uid, found.gid, found.size) == (2**32 - 2, 2**21, 2**40)
    assert found.mtime_ns == -1_500_000_000


def test_sparse_files_are_read_by_others() -> None:
    data = b"a" * 512 + b"b" * 5000
    entry = Entry(
        b"d/sparse",
        "file",
        0o600,
        1,
        2,
        3 * 10**9,
        size=100_000,
        stored=len(data),
        extents=((4096, 512), (8192, 5000)),
    )
    written = archive((entry, data), (Entry(b"after", "fifo", 0o644, 0, 0, 0), b""))
    found, after = read(written)
    assert found._replace(offset=0) == entry
    assert after.name == b"after"
    with tarfile.open(fileobj=io.BytesIO(written)) as oracle:
        (member, last) = oracle.getmembers()
        content = oracle.extractfile(member).read()
    assert (member.name, member.size, last.name) == ("d/sparse", 100_000, "after")
    assert content == bytes(4096) + b"a" * 512 + bytes(3584) + b"b" * 5000 + bytes(86808)


_SECOND = 10**9
names = st.binary(min_size=1, max_size=300).map(
    lambda raw: raw.replace(b"\0", b"0").strip(b"/") or b"x"
)
entries = st.builds(
    Entry,
    name=names,
    kind=st.sampled_from(["file", "link", "symlink", "character", "block", "fifo"]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    gid=st.integers(0, 2**32 - 2),
    mtime_ns=st.one_of(
        st.integers(-(2**62), 2**62), st.integers(-(2**31), 2**34).map(lambda s: s * _SECOND)
    ),
    major=st.integers(0, 4095),
    minor=st.integers(0, 2**20 - 1),
    target=names,
    xattrs=st.one_of(
        st.none(),
        st.dictionaries(
            st.sampled_from([b"user.a", b"security.capability", b"trusted.t"]),
            st.binary(max_size=300),
            min_size=1,
        ),
    ),
    size=st.just(0),
    offset=st.just(0),
    stored=st.just(0),
    extents=st.none(),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(entries, st.binary(max_size=1200)), max_size=5))
def test_what_is_written_is_read_back(members: list[tuple[Entry, bytes]]) -> None:
    plain = []
    for entry, data in members:
        is_device = entry.kind in ("character", "block")
        entry = entry._replace(
            target=entry.target if entry.kind in ("link", "symlink") else b"",
            major=entry.major if is_device else 0,
            minor=entry.minor if is_device else 0,
        )
        if entry.kind == "file":
            plain.append((entry._replace(size=len(data), stored=len(data)), data))
        else:
            plain.append((entry, b""))
    written = archive(*plain)
    assert written == archive(*plain)
    assert len(written) % 512 == 0
    found = read(written)
    assert [entry._replace(offset=0) for entry in found] == [entry for entry, _ in plain]
    for entry, (_, data) in zip(found, plain, strict=True):
        assert written[entry.offset : entry.offset + entry.stored] == data
    with tarfile.open(fileobj=io.BytesIO(written)) as oracle:
        others = [member.name.encode("utf-8", "surrogateescape") for member in oracle]
    assert others == [entry.name.rstrip(b"/") for entry in found]
