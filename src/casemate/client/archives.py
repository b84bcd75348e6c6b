"""Files as the tar archives that the engine takes and gives.

``tarfile`` is imported when there are files: it costs more than a run without any.
"""

from __future__ import annotations

import io
import os
import posixpath
import time
from collections.abc import Iterable, Mapping

from casemate.errors import DataLoss, InvalidArgument, Unavailable

#: What a container may hand back; it is written by whom nobody trusts.
LIMIT_BYTES = 64 << 20
_MAX_ENTRIES = 100_000

#: Bytes, a text in UTF-8, or the path (an object, not a text) of a file of ours.
Content = bytes | str | os.PathLike[str]


def split(path: str) -> tuple[str, str]:
    """Return directory and name of an absolute path in a container. Raises InvalidArgument."""
    if not path.startswith("/") or "\0" in path or path.endswith("/"):
        raise InvalidArgument(f"invalid path {path!r:.200}: it must be that of a file, from / on")
    normal = posixpath.normpath(path)
    if normal == "/" or ".." in path.split("/"):
        raise InvalidArgument(f"invalid path {path!r:.200}: it must be that of a file, from / on")
    directory, name = posixpath.split("/" + normal.lstrip("/"))
    return directory, name


def grouped(files: Mapping[str, Content]) -> dict[str, dict[str, bytes]]:
    """Return contents by directory and name. A text is one in UTF-8, a path a file of ours."""
    found: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        directory, name = split(path)
        found.setdefault(directory, {})[name] = _bytes(content)
    return found


def _bytes(content: Content) -> bytes:
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    if isinstance(content, str):
        return content.encode()
    try:
        with open(content, "rb") as file:
            return file.read()
    except OSError as error:
        raise Unavailable(f"cannot read {os.fspath(content)}: {error.strerror}") from error


def packed(files: Mapping[str, bytes], directories: Iterable[str] = ()) -> bytes:
    """Return an archive of ``directories``, outer ones first, and files for everybody to read."""
    import tarfile

    buffer = io.BytesIO()
    now = int(time.time())
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in directories:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, now
            archive.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o644, now
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def unpacked(pieces: Iterable[bytes], path: str, limit_bytes: int) -> dict[str, bytes]:
    """Return the regular files of the archive of ``path``, by their paths in the container.

    Raises InvalidArgument when there is more than ``limit_bytes``, or it is no archive.
    """
    import tarfile

    parent = posixpath.dirname(posixpath.normpath(path))
    found: dict[str, bytes] = {}
    left = limit_bytes
    try:
        with tarfile.open(fileobj=Pieces(pieces), mode="r|") as archive:
            for count, info in enumerate(archive):
                left -= info.size if info.isreg() else 0
                if left < 0 or count >= _MAX_ENTRIES:
                    raise InvalidArgument(
                        f"cannot take {path}: there is more than {limit_bytes} bytes"
                        f" or {_MAX_ENTRIES} files"
                    )
                file = archive.extractfile(info) if info.isreg() else None
                if file:
                    found[posixpath.normpath(posixpath.join("/", parent, info.name))] = file.read()
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataLoss(f"cannot take {path}: {error}") from error
    return found


class Pieces(io.RawIOBase):
    """A file to read what arrives in pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def readable(self) -> bool:
        """It is to be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes; less only at the end."""
        found = [self._rest]
        length = len(self._rest)
        while size < 0 or length < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            found.append(piece)
            length += len(piece)
        whole = b"".join(found)
        at = length if size < 0 else size
        self._rest = whole[at:]
        return whole[:at]
