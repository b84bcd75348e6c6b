"""The tar reader: every dialect read as GNU tar and Python read it, every hostile one refused."""

from __future__ import annotations

import io
import os
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.errors import DataLoss, InvalidArgument
from casemate.layer.limits import DEFAULT
from unit.layer.archives import (
    END,
    block,
    directory,
    file,
    made,
    pax,
    read,
    reader,
    symlink,
)

# Dialects.


def test_an_entry_is_what_its_header_says() -> None:
    (entry,) = read(
        file(
            b"bin/x",
            b"data",
            mode=b"0004755\0",
            uid=b"0000012\0",
            gid=b"0000144\0",
            mtime=b"14512345670\0",
        ),
        END,
    )
    assert entry.name == b"bin/x"
    assert entry.kind == "file"
    assert entry.mode == 0o4755
    assert (entry.uid, entry.gid) == (10, 100)
    assert entry.mtime_ns == 0o14512345670 * 10**9
    assert (entry.offset, entry.size, entry.stored) == (512, 4, 4)


def test_devices_links_and_fifos_have_no_data_whatever_their_size_says() -> None:
    entries = read(
        block(b"c", b"3", 700, device=b"0000001\x000000003\0"),
        block(b"s", b"2", 700, target=b"c"),
        block(b"h", b"1", 700, target=b"c"),
        block(b"f", b"6", 700),
        block(b"d/", b"5", 700),
        END,
    )
    kinds = ["character", "symlink", "link", "fifo", "directory"]
    assert [entry.kind for entry in entries] == kinds
    assert [entry.stored for entry in entries] == [0] * 5
    assert (entries[0].major, entries[0].minor) == (1, 3)


def test_the_prefix_counts_in_ustar_only() -> None:
    head = block(b"name", prefix=b"some/prefix")
    gnu = block(b"name", prefix=b"some/prefix", magic=b"ustar  \0")
    assert [entry.name for entry in read(head, gnu)] == [b"some/prefix/name", b"name"]


def test_old_archives_mark_directories_by_a_slash() -> None:
    entries = read(block(b"d/", b"\0", magic=bytes(8)), block(b"f", b"\0", magic=bytes(8)))
    assert [entry.kind for entry in entries] == ["directory", "file"]


def test_unknown_types_are_files_with_data() -> None:
    entries = read(file(b"a", b"x" * 600, b"Q"), file(b"b", b"y", b"7"), END)
    assert [(entry.kind, entry.size) for entry in entries] == [("file", 600), ("file", 1)]


def test_gnu_dumps_and_volume_names_are_passed_over() -> None:
    entries = read(
        file(b"volume", b"", b"V"),
        file(b"d/", b"Yname\0\0", b"D"),
        file(b"after"),
        END,
    )
    assert [(entry.name, entry.kind) for entry in entries] == [
        (b"d/", "directory"),
        (b"after", "file"),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"       \0", 0),
        (b"\0" * 8, 0),
        (b"  644 \0 ", 0o644),
        (b"0000644 ", 0o644),
        (b"644\x00 999", 0o644),
        (b"\x80\0\0\0\0\0\x01\0", 256),
        (b"\x80\0\0\0\xff\xff\xff\xfe", 0xFFFFFFFE),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", -1),
    ],
)
def test_numbers_are_octal_or_base_256(field: bytes, value: int) -> None:
    (entry,) = read(block(b"x", uid=field))
    assert entry.uid == value


@pytest.mark.parametrize(
    "field", [b"0000648\0", b"0o00644\0", b"1_00000\0", b"-000001\0", b"+000001\0", b"0x00011\0"]
)
def test_what_is_no_octal_number_is_refused(field: bytes) -> None:
    with pytest.raises(InvalidArgument, match="not an octal number"):
        read(block(b"x", uid=field))


def test_checksums_of_signed_bytes_are_accepted() -> None:
    head = block("ä".encode() * 3)
    unsigned = sum(head[:148]) + 8 * 32 + sum(head[156:])
    signed = unsigned - 256 * sum(1 for byte in head if byte > 127)
    entries = read(head[:148] + b"%06o\0 " % signed + head[156:])
    assert len(entries) == 1


def test_gnu_long_names_belong_to_the_next_entry() -> None:
    long, target = b"d/" + b"n" * 300, b"t" * 200
    entries = read(
        file(b"././@LongLink", target + b"\0", b"K"),
        file(b"././@LongLink", long + b"\0", b"L"),
        symlink(b"short", b"cut"),
        file(b"next"),
    )
    assert [(entry.name, entry.target) for entry in entries] == [(long, target), (b"next", b"")]


def test_pax_records_win_over_the_header() -> None:
    (entry,) = read(
        pax(
            [
                (b"path", b"real"),
                (b"size", b"3"),
                (b"uid", b"3000000"),
                (b"mtime", b"12.5"),
                (b"SCHILY.xattr.user.a", b"1=\n\0"),
                (b"SCHILY.xattr.user.b", b""),
                (b"LIBARCHIVE.xattr.user.c", b"eA"),
                (b"comment", b"nothing"),
            ]
        ),
        block(b"short", size=0),
        b"abc",
    )
    assert (entry.name, entry.size, entry.uid) == (b"real", 3, 3000000)
    assert entry.mtime_ns == 12_500_000_000
    assert entry.xattrs == {b"user.a": b"1=\n\0", b"user.b": b""}


def test_global_records_hold_until_taken_back() -> None:
    entries = read(
        pax([(b"uid", b"7"), (b"comment", b"x")], b"g"),
        file(b"a"),
        pax([(b"uid", b"8")]),
        file(b"b"),
        pax([(b"uid", b"")]),
        block(b"c", uid=b"0000001\0"),
        file(b"d"),
    )
    assert [entry.uid for entry in entries] == [7, 8, 1, 7]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"1", 1_000_000_000),
        (b"1.", 1_000_000_000),
        (b"1.000000001999", 1_000_000_001),
        (b"-1.5", -1_500_000_000),
    ],
)
def test_times_have_fractions_and_signs(text: bytes, value: int) -> None:
    (entry,) = read(pax([(b"mtime", text)]), file(b"x"))
    assert entry.mtime_ns == value


# The end.


def test_what_follows_the_end_is_not_read() -> None:
    assert len(read(file(b"a"), END, file(b"b"))) == 1


@pytest.mark.parametrize("end", [b"", bytes(512), bytes(100), bytes(700), END])
def test_an_archive_may_end_with_fewer_zeros(end: bytes) -> None:
    assert len(read(file(b"a", b"x" * 700), end)) == 1


def test_the_padding_of_the_last_file_may_be_missing() -> None:
    (entry,) = read(block(b"a", size=700), b"x" * 700)
    assert entry.size == 700


def test_no_bytes_at_all_are_an_empty_archive() -> None:
    assert read(b"") == []


@pytest.mark.parametrize("keep", [1, 100, 511, 512, 513, 1100, 1211])
def test_an_archive_that_ends_inside_an_entry_is_data_loss(keep: int) -> None:
    whole = file(b"first") + file(b"a", b"x" * 700)
    if keep == 512:
        assert len(read(whole[:keep])) == 1
        return
    with pytest.raises(DataLoss, match=r"layer x: the archive ends"):
        read(whole[:keep])


def test_an_extended_header_without_an_entry_is_data_loss() -> None:
    for special in (pax([(b"path", b"x")]), file(b"", b"long\0", b"L")):
        with pytest.raises(DataLoss, match="after an extended header"):
            read(special, END)


def test_a_single_zero_block_followed_by_entries_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="single block of zeros"):
        read(file(b"a"), bytes(512), file(b"b"), END)


# Hostile headers, each refused by its own rule.


@pytest.mark.parametrize(
    ("archive", "rule"),
    [
        (block(b"a", checksum=b"0000000\0"), "wrong checksum"),
        (b"\x7fELF" * 128, "wrong checksum|not an octal"),
        (block(b"a", size_field=b"\xff" * 12), "negative size"),
        (file(b"a", b"", b"M"), "another volume"),
        (pax([(b"path", b"a\0b")]) + file(b"a"), "path with a NUL"),
        (pax([(b"linkpath", b"a\0b")]) + symlink(b"a", b"b"), "linkpath with a NUL"),
        (pax([(b"size", b"-1")]) + file(b"a"), "size that is not a decimal"),
        (pax([(b"size", b"1e3")]) + file(b"a"), "size that is not a decimal"),
        (pax([(b"uid", b"x")]) + file(b"a"), "uid that is not a decimal"),
        (pax([(b"mtime", b"now")]) + file(b"a"), "time that is not"),
        (pax([(b"path", b"b")]) * 2 + file(b"a"), "second pax header"),
        (file(b"", b"x\0", b"L") * 2 + file(b"a"), "second GNU long name"),
        (file(b"", b"x\0", b"L") + pax([(b"path", b"b")]) + file(b"a"), "both a pax name"),
        (pax([(b"path", b"b")], b"g") + file(b"a"), '"path" for all entries'),
        (pax([(b"size", b"9")], b"g") + file(b"a"), '"size" for all entries'),
        (file(b"", b"5 a=b\n", b"x") + file(b"a"), "length is wrong"),
        (file(b"", b"999 a=b\n", b"x") + file(b"a"), "length is wrong"),
        (file(b"", b"6 a=bX", b"x") + file(b"a"), "length is wrong"),
        (file(b"", b"3 \n", b"x") + file(b"a"), "without a key"),
        (file(b"", b"5 ab\n", b"x") + file(b"a"), "without a key"),
        (file(b"", b"5 =a\n", b"x") + file(b"a"), "without a key"),
        (file(b"", b"path=a\n", b"x") + file(b"a"), "without a length"),
        (file(b"", b"-6 a=b\n", b"x") + file(b"a"), "without a length"),
        (file(b"", b"6 a=b\n\0x", b"x") + file(b"a"), "bytes after its records"),
    ],
)
def test_a_broken_header_is_refused_by_its_rule(archive: bytes, rule: str) -> None:
    with pytest.raises(InvalidArgument, match=rule):
        read(archive, END)


@pytest.mark.parametrize(
    ("limit", "archive", "rule"),
    [
        ({"entries": 1}, file(b"a") + file(b"b"), "limit of 1"),
        ({"expanded_bytes": 10}, file(b"a", b"x" * 6) + file(b"b", b"x" * 5), "past 10 bytes"),
        ({"metadata_bytes": 5}, file(b"abc") + symlink(b"d", b"ef"), "past 5 bytes in all"),
        (
            {"metadata_bytes": 50},
            pax([(b"SCHILY.xattr.user.a", b"x" * 50)]) + file(b"a"),
            "past 50 bytes in all",
        ),
        (
            {"metadata_bytes": 200},
            pax([(b"GNU.sparse.map", b"0,512,1024,512"), (b"GNU.sparse.size", b"9999")])
            + file(b"a", b"x" * 1024),
            "past 200 bytes in all",
        ),
        ({"path_bytes": 5}, file(b"abcdef"), "longer than 5 bytes"),
        ({"path_bytes": 5}, symlink(b"a", b"abcdef"), "longer than 5 bytes"),
        ({"pax_bytes": 20}, pax([(b"path", b"x" * 30)]) + file(b"a"), "more than 20 bytes"),
        ({"pax_bytes": 20}, file(b"", b"x" * 30, b"L") + file(b"a"), "more than 20 bytes"),
        ({"pax_records": 2}, pax([(b"a", b"b")] * 3) + file(b"a"), "more than 2 records"),
        (
            {"pax_records": 2},
            pax([(b"a", b"b"), (b"c", b"b")], b"g") + pax([(b"d", b"b")], b"g") + file(b"a"),
            "more than 2 global records",
        ),
        (
            {"xattr_bytes": 10},
            pax([(b"SCHILY.xattr.user.a", b"x" * 5)]) + file(b"a"),
            "attributes of more than 10 bytes",
        ),
    ],
)
def test_what_exceeds_a_limit_is_refused(limit: dict[str, int], archive: bytes, rule: str) -> None:
    assert read(archive, END)
    with pytest.raises(InvalidArgument, match=rule):
        read(archive, END, limits=DEFAULT._replace(**limit))


def test_errors_name_the_archive_the_entry_and_the_place() -> None:
    with pytest.raises(InvalidArgument, match=r'layer x: the header of "evil", before byte 1024,'):
        read(file(b"a"), block(b"evil", size_field=b"\xff" * 12))


# Data.


def test_data_can_be_read_while_iterating_and_need_not_be() -> None:
    first, second = b"1" * 5000, b"2" * 513
    archive = reader(file(b"a", first), file(b"b", b"skipped"), file(b"c", second), cut=700)
    found = {}
    for entry in archive:
        if entry.name != b"b":
            found[entry.name] = b"".join(archive.data())
    assert found == {b"a": first, b"c": second}


def test_partly_read_data_does_not_shift_the_next_entry() -> None:
    archive = reader(file(b"a", b"x" * 5000), file(b"b"), cut=600)
    entries = iter(archive)
    next(entries)
    next(iter(archive.data()))
    assert next(entries).name == b"b"


# Other writers as oracles.

text = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=90)
path = st.lists(text.filter(lambda part: part not in (".", "..")), min_size=1, max_size=4)
member = st.tuples(
    path.map("/".join),
    st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE]),
    st.integers(0, 0o7777),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**33),
    st.binary(max_size=1500),
    path.map("/".join),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(member, max_size=6), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
def test_what_tarfile_writes_is_read_as_it_was(members: list[tuple], dialect: int) -> None:
    infos = []
    for name, kind, mode, owner, mtime, data, target in members:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, owner, owner, mtime
        if kind == tarfile.REGTYPE:
            info.size = len(data)
        if kind == tarfile.SYMTYPE:
            info.linkname = target
        infos.append((info, data))
    archive = made(infos, dialect)
    entries = read(archive)
    with tarfile.open(fileobj=io.BytesIO(archive)) as oracle:
        expected = oracle.getmembers()
    assert len(entries) == len(expected)
    for entry, info, (_, data) in zip(entries, expected, infos, strict=True):
        assert os.fsdecode(entry.name).rstrip("/") == info.name
        assert os.fsdecode(entry.target) == info.linkname
        assert (entry.mode, entry.uid, entry.gid) == (info.mode, info.uid, info.gid)
        assert entry.mtime_ns == info.mtime * 10**9
        assert entry.kind == _KINDS[info.type]
        if info.isreg():
            assert (entry.offset, entry.size) == (info.offset_data, info.size)
            assert archive[entry.offset : entry.offset + entry.size] == data


_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.DIRTYPE: "directory",
    tarfile.SYMTYPE: "symlink",
    tarfile.FIFOTYPE: "fifo",
}

blocks = st.one_of(
    st.binary(min_size=512, max_size=512),
    st.just(bytes(512)),
    st.builds(
        lambda kind, size, name: block(name[:99], bytes([kind]), size),
        st.integers(0, 255),
        st.integers(0, 3000),
        st.binary(min_size=1, max_size=20),
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(blocks, max_size=8).map(b"".join), st.integers(1, 3000), st.integers(0, 511))
def test_no_bytes_make_the_reader_fail_in_another_way(data: bytes, cut: int, missing: int) -> None:
    try:
        read(data[: len(data) - missing], cut=cut)
    except (InvalidArgument, DataLoss):
        pass


def test_directories_keep_their_slash_for_who_judges_names() -> None:
    (entry,) = read(directory(b"./d/"))
    assert entry.name == b"./d/"
