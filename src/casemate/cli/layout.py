"""Image archives as directories: an OCI layout is the same files, unpacked.

Source: image-spec v1.1 image-layout.md.
"""

from __future__ import annotations

import os
import tarfile

from casemate.errors import InvalidArgument, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LAYOUT = "oci-layout"
_PIECE = 1 << 20


def packed(directory: str) -> Iterator[bytes]:
    """Yield the OCI layout in ``directory`` as a tar. Raises the Error that fits."""
    if not os.path.isfile(os.path.join(directory, _LAYOUT)):
        raise InvalidArgument(f"{directory} is not an OCI layout: there is no {_LAYOUT} in it")
    return _packed(directory)


def _packed(directory: str) -> Iterator[bytes]:
    for top, directories, files in os.walk(directory):
        directories.sort()
        for name in sorted(files):
            path = os.path.join(top, name)
            yield from _member(path, os.path.relpath(path, directory))
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(path: str, name: str) -> Iterator[bytes]:
    try:
        with open(path, "rb", opener=_regular) as file:
            info = tarfile.TarInfo(name)
            info.size = left = os.fstat(file.fileno()).st_size
            yield info.tobuf(tarfile.PAX_FORMAT)
            while left:
                piece = file.read(min(left, _PIECE))
                if not piece:
                    raise InvalidArgument(f"{path} became shorter while it was read")
                left -= len(piece)
                yield piece
            yield bytes(-info.size % tarfile.BLOCKSIZE)
    except OSError as error:
        raise from_os(error, "cannot read the layout") from error


def _regular(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


class _Chunks:
    """Chunks as a file to read from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._rest += chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def unpack(chunks: Iterable[bytes], directory: str) -> None:
    """Write the archive in ``chunks`` as files below ``directory``, which is made.

    ``oci-layout`` comes last: with it the layout is whole.
    """
    last: tuple[tarfile.TarInfo, bytes] | None = None
    try:
        os.makedirs(directory, exist_ok=True)
        with tarfile.open(fileobj=_Chunks(chunks), mode="r|", bufsize=_PIECE) as archive:  # type: ignore[call-overload]
            for member in archive:
                if member.name == _LAYOUT:
                    source = archive.extractfile(member)
                    last = member, source.read() if source else b""
                else:
                    archive.extract(member, directory, filter="data")
        if last:
            with open(os.path.join(directory, _LAYOUT), "wb") as file:
                file.write(last[1])
    except OSError as error:
        raise from_os(error, f"cannot write the layout {directory}") from error
    except tarfile.TarError as error:
        raise InvalidArgument(f"cannot write the layout {directory}: {error}") from error
