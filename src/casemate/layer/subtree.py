"""A part of an archive as an archive: what is below one of its directories.

Some bundles hold the root file system beside other things, in a directory of its own. A layer is
the root alone, so such an archive is written anew as it passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from casemate.errors import InvalidArgument
from casemate.layer import names, write
from casemate.layer.compression import decompress
from casemate.layer.limits import DEFAULT, Limits
from casemate.layer.names import BadName, shown
from casemate.layer.stream import Buffer, Stream
from casemate.layer.tar import Entry, Reader


def below(
    chunks: Iterable[Buffer], directory: str, what: str, limits: Limits = DEFAULT
) -> Iterator[bytes]:
    """Yield the tar of what is below ``directory`` in the archive ``chunks``, compressed or not.

    ``what`` names the archive in errors. Raises InvalidArgument for an archive without that
    directory, or one that breaks a rule; DataLoss for one that ends too early.
    """
    part = _part(directory, limits)
    stream = Stream(decompress(chunks, None, what, limits.archive_bytes))
    reader = Reader(stream, what, limits)
    found = False
    for entry in reader:
        try:
            inside = _inside(entry, part, limits)
        except BadName as error:
            raise InvalidArgument(f"{what}: entry {shown(entry.name)} {error}") from None
        if inside is None:
            continue
        found = True
        yield write.member(inside)
        if inside.kind == "file":
            yield from (bytes(piece) for piece in reader.data())
            yield write.padding(inside.stored)
    stream.drain()
    if not found:
        raise InvalidArgument(f"{what}: it has no directory {directory[:200]!r}")
    yield write.END


def _part(directory: str, limits: Limits) -> bytes:
    name = directory.strip("/").encode("utf-8", "surrogateescape")
    try:
        part = names.normal(name, limits.path_bytes) if name else b""
    except BadName as error:
        raise InvalidArgument(
            f"invalid directory of an archive {directory[:200]!r}: it {error}"
        ) from error
    if not part:
        raise InvalidArgument(
            f"invalid directory of an archive {directory[:200]!r}: it is all of it"
        )
    return part


def _inside(entry: Entry, part: bytes, limits: Limits) -> Entry | None:
    """Return ``entry`` as it is below ``part``, None when it is not. Raises BadName."""
    name = _below(names.normal(entry.name, limits.path_bytes), part)
    if name is None:
        return None
    if not name and entry.kind != "directory":
        raise BadName(f"is a {entry.kind}, not the directory that is asked for")
    target = entry.target
    if entry.kind == "link":
        inside = _below(names.normal(target, limits.path_bytes), part)
        if not inside:
            raise BadName(
                f"is a hard link to {shown(target)}, which is not below the same directory"
            )
        target = inside
    return entry._replace(name=name or b"./", target=target)


def _below(name: bytes, part: bytes) -> bytes | None:
    if name == part:
        return b""
    return name[len(part) + 1 :] if name.startswith(part + b"/") else None
