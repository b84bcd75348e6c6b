"""Compressed layers: what others compress is read, what is broken or a bomb is refused."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import shutil
import subprocess
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.errors import DataLoss, InvalidArgument
from casemate.layer import compression
from casemate.layer.compression import Packing, compress, decompress, detect
from casemate.oci.media import Compression

TEXT = b"".join(b"line %d of something to compress\n" % at for at in range(30_000))
NOISE = random.Random(1).randbytes(700_000)


@pytest.fixture(params=["isal", "zlib"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with ISA-L, and as on an architecture that has none."""
    if request.param == "zlib":
        monkeypatch.setattr(compression, "_igzip", None)
    elif compression._igzip is None:
        pytest.skip("isal is not installed")
    return request.param


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def opened(
    data: bytes, how: Packing | None = None, *, size: int = 10_000, limit: int = 1 << 40
) -> bytes:
    return b"".join(decompress(cut(data, size), how, "layer x", limit))


PACKED = {
    "none": lambda data: data,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
}
#: What also arrives, packed by people.
ARRIVING = {**PACKED, "xz": lzma.compress, "bzip2": bz2.compress}


@pytest.mark.parametrize("size", [1, 3, 17, 511, 65_537, 1 << 20])
@pytest.mark.parametrize("how", ARRIVING)
def test_chunks_of_any_size_will_do(library: str, how: Packing, size: int) -> None:
    data = TEXT[:50_000] if size < 100 else TEXT + NOISE
    assert opened(ARRIVING[how](data), how, size=size) == data
    assert opened(ARRIVING[how](data), None, size=size) == data


@pytest.mark.parametrize("how", ARRIVING)
def test_nothing_compressed_is_nothing(library: str, how: Packing) -> None:
    assert opened(ARRIVING[how](b"")) == b""


def test_buffers_that_are_used_again_do_no_harm() -> None:
    def chunks() -> object:
        buffer = bytearray(4)
        for piece in (b"abcd", b"efgh"):
            buffer[:] = piece
            yield memoryview(buffer)

    assert b"".join(list(decompress(chunks(), "none", "x", 100))) == b"abcdefgh"


def test_several_members_or_frames_are_one_stream(library: str) -> None:
    parts = [b"", TEXT, b"x", NOISE, b""]
    assert opened(b"".join(map(gzip.compress, parts))) == b"".join(parts)
    skippable = b"\x5e\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"12345"
    frames = skippable + skippable.join(map(zstandard.compress, parts)) + skippable
    assert opened(frames) == b"".join(parts)


def test_zeros_may_fill_up_a_gzip_stream(library: str) -> None:
    assert opened(gzip.compress(TEXT) + bytes(5000)) == TEXT


def test_headers_with_names_are_read(library: str) -> None:
    program = shutil.which("gzip")
    if program is None:
        pytest.skip("gzip is not installed")
    packed = subprocess.run([program, "-9"], input=TEXT, capture_output=True, check=True).stdout
    flags = packed[:3] + b"\x08" + packed[4:10] + b"some name\0" + packed[10:]
    assert opened(flags, size=7) == TEXT


@pytest.mark.parametrize("how", sorted(ARRIVING.keys() - {"none"}))
@pytest.mark.parametrize("missing", [1, 4, 8, 9, 100, 5000])
def test_a_stream_that_ends_too_early_is_data_loss(
    library: str, how: Packing, missing: int
) -> None:
    packed = ARRIVING[how](NOISE[:20_000])
    # zstd may notice only by what comes after; that is our own mark of the end.
    rule = f"layer x: (the {how} data ends too early|broken zstd data)"
    for data in (packed[:-missing], packed + packed[:-missing]):
        for size in (100, 1 << 20):
            with pytest.raises(DataLoss, match=rule):
                opened(data, how, size=size)


@pytest.mark.parametrize("how", sorted(ARRIVING.keys() - {"none"}))
def test_no_bytes_are_no_compressed_stream(library: str, how: Packing) -> None:
    if how != "zstd":
        with pytest.raises(DataLoss, match="ends too early"):
            opened(b"", how)
    else:
        assert opened(b"", how) == b""


@pytest.mark.parametrize("how", sorted(ARRIVING.keys() - {"none"}))
def test_broken_bytes_are_data_loss(library: str, how: Packing) -> None:
    packed = bytearray(ARRIVING[how](TEXT))
    for at in (len(packed) // 2, len(packed) - 6):
        broken = bytes(packed[:at]) + bytes([packed[at] ^ 0x55]) + bytes(packed[at + 1 :])
        try:
            found = opened(broken, how)
        except DataLoss as error:
            assert str(error).startswith("layer x: ")
        else:
            assert how == "zstd"  # has no checksum here; the digest of the layer notices
            assert found != TEXT or at == len(packed) - 6
    with pytest.raises(DataLoss, match=f"broken {how} data"):
        opened(ARRIVING[how](TEXT) + b"garbage" * 5, how)
    with pytest.raises(DataLoss, match=f"broken {how} data"):
        opened(TEXT, how)


BOMBS = {
    "gzip": lambda: gzip.compress(bytes(1 << 28), 9),
    "zstd": lambda: zstandard.ZstdCompressor(level=19).compress(bytes(1 << 30)),
    "gzip members": lambda: gzip.compress(b"") * 50_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_fills_neither_memory_nor_disk(name: str) -> None:
    packed = BOMBS[name]()
    assert len(packed) < 1_100_000
    tracemalloc.start()
    try:
        total = 0
        for piece in decompress([packed], None, "layer x", 1 << 40):
            total += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total in (0, 1 << 28, 1 << 30)
    assert peak < 5_000_000
    if total:
        with pytest.raises(InvalidArgument, match="layer x: more than 1000000 bytes"):
            opened(packed, size=1 << 20, limit=1_000_000)


def test_a_zstd_window_larger_than_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, write_content_size=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = compressor.compress(TEXT) + compressor.flush()
    with pytest.raises(DataLoss, match="memory"):
        opened(packed)


@pytest.mark.parametrize(
    ("start", "how"),
    [
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x50\x2a\x4d\x18", "zstd"),
        (b"\x5f\x2a\x4d\x18", "zstd"),
        (b"\x60\x2a\x4d\x18", "none"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh9", "bzip2"),
        (b"BZh0", "none"),
        (b"./\0\0", "none"),
        (b"", "none"),
        (b"\x1f", "none"),
    ],
)
def test_the_first_bytes_tell_the_compression(start: bytes, how: str) -> None:
    assert detect(start) == how


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000), st.sampled_from(["gzip", "zstd", None]), st.integers(1, 999))
def test_no_bytes_make_it_fail_in_another_way(
    data: bytes, how: Compression | None, size: int
) -> None:
    prefix = {"gzip": b"\x1f\x8b\x08\0", "zstd": b"\x28\xb5\x2f\xfd", None: b""}[how]
    for blob in (data, prefix + data):
        try:
            opened(blob, how, size=size)
        except DataLoss:
            pass


# The way out.


@pytest.mark.parametrize("how", PACKED)
def test_what_is_compressed_is_the_same_for_any_chunks(library: str, how: Compression) -> None:
    data = TEXT * 10
    once = b"".join(compress([data], how))
    assert once == b"".join(compress(cut(data, 99_999), how))
    assert once == b"".join(compress((memoryview(piece) for piece in cut(data, 7_777)), how))
    assert opened(once, how) == data
    assert detect(once[:4]) == (how if how != "none" else "none")


def test_gzip_is_read_by_others_and_tells_nothing_of_this_machine(library: str) -> None:
    packed = b"".join(compress([TEXT * 10], "gzip"))
    assert gzip.decompress(packed) == TEXT * 10
    assert packed[3] == 0  # no name
    assert packed[4:8] == bytes(4)  # no time
    if program := shutil.which("gzip"):
        done = subprocess.run([program, "-dc"], input=packed, capture_output=True, check=True)
        assert done.stdout == TEXT * 10


def test_zstd_is_read_by_others() -> None:
    packed = b"".join(compress([TEXT], "zstd"))
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == TEXT


def test_nothing_is_compressed_to_a_whole_stream(library: str) -> None:
    for how in PACKED:
        packed = b"".join(compress([], how))
        assert opened(packed, how) == b""
        assert (zlib.decompress(packed, 31) == b"") if how == "gzip" else True
