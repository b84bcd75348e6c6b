"""Files into a container: the writing half of Docker's archive endpoint.

Source: Docker Engine API v1.47, PutContainerArchive. A container that runs goes on; one that does
not is kept from starting meanwhile.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from casemate.engine import inside, pathstat
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.inside import Root
from casemate.engine.pathstat import Wanted
from casemate.engine.records import Record
from casemate.engine.threads import in_own_thread
from casemate.errors import Conflict, InvalidArgument
from casemate.layer import compression
from casemate.layer.extract import Target, extract
from casemate.layer.limits import DEFAULT
from casemate.layer.stream import Stream
from casemate.layer.tar import Entry
from casemate.linux import inroot
from casemate.linux.fileowner import make_files_as

_ARCHIVE = "the archive"


class Upload(NamedTuple):
    """An archive on its way to the directory ``path``.

    ``pieces`` may be compressed, and are read in a thread. ``keep_kinds`` as in
    ``layer.extract.Target``; ``as_user`` gives everything to the user that the container runs as.
    """

    path: str
    pieces: Iterable[bytes]
    keep_kinds: bool = False
    as_user: bool = False


async def write(engine: Engine, record: Record, upload: Upload) -> None:
    """Unpack an archive in the container.

    Raises NotFound, InvalidArgument for what is no directory or may not be written, and for the
    archive.
    """
    live = engine.live(record.id)
    async with live.lock:
        record = engine.current(record)
        if not record.active:
            if live.removals or record.state.status == "removing":
                raise Conflict(f"container {record.name} is marked for removal")
            if live.leaving is not None:
                await asyncio.shield(live.leaving.gone)  # until then it has the root mounted
            stopped = inside.stopped(engine, record, writable=True)
            await in_own_thread(lambda: _write(engine, record, upload, stopped))
    if record.active:
        pieces = _while_running(record, upload.pieces, live.exit.done)
        limited = upload._replace(pieces=pieces)
        running = inside.running(record, inside.first_pid(engine, record))
        await in_own_thread(lambda: _write(engine, record, limited, running))
    engine.events.publish("container", "extract-to-dir", record.id, attributes(record))


def _while_running(
    record: Record, pieces: Iterable[bytes], ended: Callable[[], bool]
) -> Iterator[bytes]:
    """Yield the pieces; raise Ended once the container has: another run's root is another."""
    for piece in pieces:
        if ended():
            raise inside.Ended(record)
        yield piece


def _write(
    engine: Engine, record: Record, upload: Upload, opening: AbstractContextManager[Root]
) -> None:
    """Unpack, in a thread of its own."""
    asked = pathstat.wanted(upload.path)
    with inside.errors(record, upload.path), opening as root:
        if root.first_id:
            make_files_as(root.first_id)
        _check_place(root, asked)
        target = Target(
            root.descriptor,
            os.fsencode(asked.path),
            _ARCHIVE,
            _owned(engine, record, root, as_user=upload.as_user),
            upload.keep_kinds,
        )
        _unpack(upload, target)


def _unpack(upload: Upload, target: Target) -> None:
    pieces = compression.decompress(upload.pieces, None, _ARCHIVE, DEFAULT.archive_bytes)
    plain = Stream(pieces)
    try:
        extract(plain, target)
    except FileNotFoundError as error:
        raise Conflict(
            f"cannot copy to {upload.path[:200]}: something was removed there meanwhile"
        ) from error
    plain.drain()  # what may follow the end of an archive


def _owned(
    engine: Engine, record: Record, root: Root, *, as_user: bool
) -> Callable[[Entry], Entry]:
    """Return the function that gives an entry to who shall own it, as the host knows them."""
    config, groups = record.fixed.config, tuple(record.fixed.host.group_add or ())
    if as_user and config.user:
        user = engine.users.identify_at(root.descriptor, config.user, groups)
        uid, gid = root.on_host(user.uid), root.on_host(user.gid)
        return lambda entry: entry._replace(uid=uid, gid=gid)
    return lambda entry: entry._replace(uid=root.on_host(entry.uid), gid=root.on_host(entry.gid))


def _check_place(root: Root, asked: Wanted) -> None:
    """Refuse to write where nothing can or may be. Raises InvalidArgument, OSError."""
    try:
        place = inroot.open_in(root.descriptor, asked.path, os.O_PATH | os.O_DIRECTORY)
    except NotADirectoryError:
        raise InvalidArgument("extraction point is not a directory") from None
    try:
        inside.refuse_made_up(place, asked.path)
        if os.fstatvfs(place).f_flag & os.ST_RDONLY:
            own = os.fstat(place).st_dev == os.fstat(root.descriptor).st_dev
            what = "container rootfs" if own else "mounted volume"
            raise InvalidArgument(f"{what} is marked read-only")
    finally:
        os.close(place)
