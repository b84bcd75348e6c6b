"""Files into a container: the writing half of Docker's archive endpoint.

Source: Docker Engine API v1.47, PutContainerArchive. A container that runs goes on; one that does
not is kept from starting meanwhile, as long as the client sends.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from casemate.engine import inside, pathstat
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.inside import Root
from casemate.engine.pathstat import Wanted
from casemate.engine.records import Record
from casemate.engine.threads import in_own_thread
from casemate.engine.translate import readonly_root
from casemate.errors import Conflict, InvalidArgument, Unavailable
from casemate.layer import compression
from casemate.layer.extract import Target, extract
from casemate.layer.limits import DEFAULT
from casemate.layer.stream import Stream
from casemate.layer.tar import Entry
from casemate.linux import inroot
from casemate.linux.fileowner import make_files_as

_ARCHIVE = "the archive"
#: So long somebody waits for a client that sends nothing, in all, and who looks how often.
_PATIENCE_S = 5.0
_LOOK_S = 0.5


class Pieces(Protocol):
    """What a client sends, read in a thread."""

    def within(self, limit_s: float | None) -> bytes | None:
        """Return the next piece, None at the end. Raises TimeoutError; then ask again."""


class Upload(NamedTuple):
    """An archive on its way to the directory ``path``.

    ``pieces`` may be compressed. ``keep_kinds`` as in ``layer.extract.Target``; ``as_user`` gives
    everything to the user that the container runs as.
    """

    path: str
    pieces: Pieces
    keep_kinds: bool = False
    as_user: bool = False


async def write(engine: Engine, record: Record, upload: Upload) -> None:
    """Unpack an archive in the container.

    Raises NotFound, InvalidArgument for what is no directory or may not be written, and for the
    archive; Conflict when it does not come, and the container is wanted for something else.
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
            kept = _giving_way(record, upload.pieces, live.lock.is_wanted)
            await in_own_thread(lambda: _write(engine, record, upload, kept, stopped))
    if record.active:
        while_running = _while_running(record, upload.pieces, live.exit.done)
        running = inside.running(record, inside.first_pid(engine, record))
        await in_own_thread(lambda: _write(engine, record, upload, while_running, running))
    engine.events.publish("container", "extract-to-dir", record.id, attributes(record))


def _while_running(record: Record, pieces: Pieces, ended: Callable[[], bool]) -> Iterator[bytes]:
    """Yield the pieces; raise Ended once the container has: another run's root is another."""
    while (piece := pieces.within(None)) is not None:
        if ended():
            raise inside.Ended(record)
        yield piece


def _giving_way(record: Record, pieces: Pieces, is_wanted: Callable[[], bool]) -> Iterator[bytes]:
    """Yield the pieces; raise Conflict when somebody who wants the container waits too long for
    the client.
    """
    patience_s = _PATIENCE_S
    piece: bytes | None = b""
    while piece is not None:
        since = time.monotonic()
        try:
            piece = pieces.within(_LOOK_S)
        except TimeoutError:
            piece = b""
        if is_wanted():
            patience_s -= time.monotonic() - since
        if patience_s < 0:
            raise Conflict(
                f"cannot copy to container {record.name}: the archive did not come, and something"
                " else was to be done with the container"
            )
        if piece:
            yield piece


def _write(
    engine: Engine,
    record: Record,
    upload: Upload,
    pieces: Iterable[bytes],
    opening: AbstractContextManager[Root],
) -> None:
    """Unpack, in a thread of its own."""
    asked = pathstat.wanted(upload.path)
    with inside.errors(record, upload.path), opening as root:
        if root.first_id:
            make_files_as(root.first_id)
        _check_place(root, asked, writable=not readonly_root(record.fixed.host, engine.machine))
        target = Target(
            root.descriptor,
            os.fsencode(asked.path),
            _ARCHIVE,
            _owned(engine, record, root, as_user=upload.as_user),
            upload.keep_kinds,
        )
        _unpack(upload, pieces, target)


def _unpack(upload: Upload, pieces: Iterable[bytes], target: Target) -> None:
    plain = Stream(compression.decompress(pieces, None, _ARCHIVE, DEFAULT.archive_bytes))
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


def _check_place(root: Root, asked: Wanted, *, writable: bool) -> None:
    """Refuse to write where nothing can or may be. Raises InvalidArgument, OSError.

    A root that is to be ``writable`` and is not has a store that cannot be written to.
    """
    try:
        place = inroot.open_in(root.descriptor, asked.path, os.O_PATH | os.O_DIRECTORY)
    except NotADirectoryError:
        raise InvalidArgument("extraction point is not a directory") from None
    try:
        inside.refuse_made_up(place, asked.path)
        if os.fstatvfs(place).f_flag & os.ST_RDONLY:
            own = os.fstat(place).st_dev == os.fstat(root.descriptor).st_dev
            if own and writable:
                raise Unavailable("cannot write to the container's root: read-only file system")
            what = "container rootfs" if own else "mounted volume"
            raise InvalidArgument(f"{what} is marked read-only")
    finally:
        os.close(place)
