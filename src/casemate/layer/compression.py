"""Compress and decompress the bytes of layers as streams: gzip, zstd or none; archives that people
have are also unpacked when they are packed with xz or bzip2.

Decompression happens in this process, in pieces of bounded size and up to a limit in all, so that
a small blob cannot fill memory or disk. Compression is deterministic: the same bytes give the same
bytes. Source: RFC 1952, RFC 8878; xz-file-format.txt; man 1 bzip2.
"""

from __future__ import annotations

import bz2
import functools
import lzma
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any, Literal, Protocol

import zstandard

from casemate.errors import DataLoss, InvalidArgument
from casemate.layer.stream import PIECE_BYTES, Buffer
from casemate.oci.media import Compression

#: How what arrives may be packed; nothing leaves in the last two.
Packing = Compression | Literal["xz", "bzip2"]

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
#: Skippable frames begin with one of sixteen numbers, 0x184D2A50 to 5F.
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"
_XZ_MAGIC = b"\xfd7zX"
_BZIP2_MAGIC = tuple(b"BZh%d" % level for level in range(1, 10))
_MAGIC_BYTES = 4

#: What zstd needs to keep in memory at level 22; larger windows exist only on request.
_WINDOW_BYTES = 1 << 27
#: As much for xz, whose level 9 needs half of it.
_XZ_BYTES = 1 << 27
_SLICE_BYTES = 1 << 16
#: Compresses to other bytes than itself, so it cannot come out of a block that swallowed the frame.
_END = b"\xca" * 64
_END_FRAME = zstandard.ZstdCompressor().compress(_END)
#: zlib's wbits for a gzip header and trailer.
_GZIP_BITS = 31
_MEMBER_BYTES = 1 << 22
_THREADS = min(4, os.cpu_count() or 1)


def detect(start: bytes) -> Packing:
    """Return how a blob that begins with ``start`` (4 bytes will do) is compressed."""
    if start.startswith(_GZIP_MAGIC):
        return "gzip"
    if start.startswith(_ZSTD_MAGIC) or (start[1:4] == _ZSTD_SKIPPABLE and start[0] >> 4 == 5):
        return "zstd"
    if start.startswith(_XZ_MAGIC):
        return "xz"
    return "bzip2" if start.startswith(_BZIP2_MAGIC) else "none"


def decompress(
    chunks: Iterable[Buffer], compression: Packing | None, what: str, limit_bytes: int
) -> Iterator[bytes]:
    """Yield the uncompressed bytes of ``chunks``; with None the magic number tells how.

    ``what`` names the blob in errors: DataLoss for a stream that is broken or ends too early,
    InvalidArgument for more than ``limit_bytes`` in all.
    """
    ahead, chunks = _start(chunks)
    plain = _DECOMPRESSORS[compression or detect(ahead)](chunks, what)
    total = 0
    for piece in plain:
        total += len(piece)
        if total > limit_bytes:
            raise InvalidArgument(f"{what}: more than {limit_bytes} bytes when decompressed")
        yield piece


def _start(chunks: Iterable[Buffer]) -> tuple[bytes, Iterator[Buffer]]:
    """Return the first bytes, enough for ``detect``, and all chunks."""
    rest = iter(chunks)
    ahead = b""
    for chunk in rest:
        ahead += chunk
        if len(ahead) >= _MAGIC_BYTES:
            break
    return ahead[:_MAGIC_BYTES], chain((ahead,), rest)


def _plain(chunks: Iterable[Buffer], what: str) -> Iterator[bytes]:
    for chunk in chunks:
        # A caller may fill the same buffer again; what is yielded must stay.
        yield chunk if isinstance(chunk, bytes) else bytes(chunk)


# gzip, and what else is made of members


def _isal() -> Any:
    """Return ISA-L's gzip, or None on an architecture without it: a third as fast."""
    try:
        from isal import igzip_lib
    except ImportError:
        return None
    return igzip_lib


_igzip: Any = _isal()


class _Member(Protocol):
    """One member on its way, as of igzip_lib, lzma and bz2."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Buffer, max_length: int) -> bytes: ...


class _ZlibMember:
    """The same over the standard library's zlib."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(_GZIP_BITS)
        self.needs_input = True

    def decompress(self, data: Buffer, max_length: int) -> bytes:
        piece = self._zlib.decompress(self._zlib.unconsumed_tail or data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(piece) < max_length
        return piece

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


def _new_member() -> _Member:
    if _igzip is None:
        return _ZlibMember()
    member: _Member = _igzip.IgzipDecompressor(flag=_igzip.DECOMP_GZIP)
    return member


_GZIP_ERRORS: tuple[type[Exception], ...] = (
    (zlib.error,) if _igzip is None else (zlib.error, _igzip.IsalError)
)


#: OSError is what bz2 says of broken data.
_ERRORS: tuple[type[Exception], ...] = (*_GZIP_ERRORS, lzma.LZMAError, OSError)


def _new_xz() -> _Member:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_BYTES)


def _unpack(
    name: str, new: Callable[[], _Member], chunks: Iterable[Buffer], what: str
) -> Iterator[bytes]:
    """Yield what the members of a stream hold; zeros may fill up the end."""
    member: _Member | None = None
    members = 0
    for piece in _slices(chunks):
        data = piece
        while data or (member is not None and not member.needs_input):
            if member is None:
                data = bytes(data).lstrip(b"\0") if members else data
                if not data:
                    break
                member = new()
            yield _inflate(member, data, f"{what}: broken {name} data")
            data = b""
            if member.eof:
                data, member, members = member.unused_data, None, members + 1
    if member is not None or not members:
        raise DataLoss(f"{what}: the {name} data ends too early")


def _slices(chunks: Iterable[Buffer]) -> Iterator[Buffer]:
    """Cut the chunks so that the rest after a member, which is copied, is never long."""
    for chunk in chunks:
        view = memoryview(chunk)
        for at in range(0, len(view), _SLICE_BYTES):
            yield view[at : at + _SLICE_BYTES]


def _inflate(member: _Member, data: Buffer, failure: str) -> bytes:
    try:
        return member.decompress(data, PIECE_BYTES)
    except _ERRORS as error:
        raise DataLoss(f"{failure}: {_lower(error)}") from error


def _lower(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


# zstd


class _Input:
    """Chunks as the file-like object that zstandard reads from; a frame of our own comes last."""

    def __init__(self, chunks: Iterable[Buffer]) -> None:
        self._slices = _slices(chunks)
        self.ended = False

    def read(self, _size: int) -> Buffer:
        if self.ended:
            return b""
        for piece in self._slices:
            return piece
        self.ended = True
        return _END_FRAME


def _unzstd(chunks: Iterable[Buffer], what: str) -> Iterator[bytes]:
    """Yield what the frames of a zstd stream hold.

    The library does not tell a stream that ends inside a frame from a whole one. So a frame of our
    own is put after it: only when its content comes out last was everything before it complete.
    """
    source = _Input(chunks)
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
    reader: Any = decompressor.stream_reader(
        source,  # type: ignore[arg-type]  # anything with read() will do
        read_size=_SLICE_BYTES,
        read_across_frames=True,
    )
    held = b""
    while piece := _read(reader, what):
        if source.ended:
            piece = held + piece
            held = piece[-len(_END) :]
            piece = piece[: -len(_END)]
        if piece:
            yield piece
    if held != _END:
        raise DataLoss(f"{what}: the zstd data ends too early")


def _read(reader: Any, what: str) -> bytes:
    try:
        piece: bytes = reader.read(PIECE_BYTES)
    except zstandard.ZstdError as error:
        raise DataLoss(f"{what}: broken zstd data: {_lower(error)}") from error
    return piece


_DECOMPRESSORS: dict[Packing, Callable[[Iterable[Buffer], str], Iterator[bytes]]] = {
    "none": _plain,
    "gzip": functools.partial(_unpack, "gzip", _new_member),
    "zstd": _unzstd,
    "xz": functools.partial(_unpack, "xz", _new_xz),
    "bzip2": functools.partial(_unpack, "bzip2", bz2.BZ2Decompressor),
}


# The way out.


def compress(chunks: Iterable[Buffer], compression: Compression) -> Iterator[bytes]:
    """Yield ``chunks`` compressed for a registry: gzip fast rather than small, zstd level 3.

    Several threads work; what comes out does not depend on their number nor on how the input is
    cut into chunks.
    """
    return _COMPRESSORS[compression](chunks)


def _copy(chunks: Iterable[Buffer]) -> Iterator[bytes]:
    return _plain(chunks, "")


def _gzip(chunks: Iterable[Buffer]) -> Iterator[bytes]:
    """Yield a gzip stream of members of 4 MiB each; every gzip reader takes them as one."""
    with ThreadPoolExecutor(_THREADS, "gzip") as pool:
        pending: deque[Future[bytes]] = deque()
        for block in _blocks(chunks):
            pending.append(pool.submit(_gzip_member, block))
            if len(pending) > _THREADS:
                yield pending.popleft().result()
        for future in pending:
            yield future.result()


def _blocks(chunks: Iterable[Buffer]) -> Iterator[Buffer]:
    """Cut and join the chunks to blocks of 4 MiB; a last one, perhaps empty, is smaller."""
    block = bytearray()
    for chunk in chunks:
        block += chunk
        while len(block) >= _MEMBER_BYTES:
            yield bytes(block[:_MEMBER_BYTES])
            del block[:_MEMBER_BYTES]
    yield block


def _gzip_member(block: Buffer) -> bytes:
    """Return ``block`` as a gzip member, its header without a name or a time."""
    if _igzip is not None:
        member: bytes = _igzip.compress(block, 1, flag=_igzip.COMP_GZIP)
        return member
    return zlib.compress(block, 1, _GZIP_BITS)


def _zstd(chunks: Iterable[Buffer]) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True, threads=_THREADS)
    frame = compressor.compressobj()
    for chunk in chunks:
        if piece := frame.compress(chunk):
            yield piece
    yield frame.flush()


_COMPRESSORS: dict[Compression, Callable[[Iterable[Buffer]], Iterator[bytes]]] = {
    "none": _copy,
    "gzip": _gzip,
    "zstd": _zstd,
}
