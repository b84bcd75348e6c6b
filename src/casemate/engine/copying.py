"""Files in and out of a container: Docker's archive endpoint.

Source: Docker Engine API v1.47, ContainerArchive and PutContainerArchive. A container that runs
goes on; one that does not is kept from starting while something is written into it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import NamedTuple

from casemate.engine import inside, pathstat
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.pathstat import PathStat, Wanted
from casemate.engine.records import Record
from casemate.engine.threads import in_own_thread, in_thread
from casemate.errors import Conflict, Error, InvalidArgument, NotFound, from_os
from casemate.layer import compression, view
from casemate.layer.extract import Target, extract
from casemate.layer.limits import DEFAULT
from casemate.layer.stream import Stream
from casemate.linux import inroot
from casemate.linux.filesystem import made_up

_ARCHIVE = "the archive"


class Rules(NamedTuple):
    """How an archive is unpacked: ``keep_kinds`` as in ``layer.extract.Target``; ``as_user`` gives
    everything to the user that the container runs as.
    """

    keep_kinds: bool = False
    as_user: bool = False


class Outgoing(NamedTuple):
    """An entry of a container, open to be read: ``name`` in the directory ``place``.

    ``top`` is the entry itself when it is a directory.
    """

    asked: Wanted
    stat: PathStat
    place: int
    name: bytes
    top: int | None
    held: contextlib.ExitStack

    def tar(self) -> Generator[bytes, None, None]:
        """Yield the archive. Blocking."""
        try:
            found = view.entry(self.place, self.name, os.fsencode(self.asked.name))
            yield from view.archive(found, self.top)
        except OSError as error:
            raise from_os(error, f"cannot read {self.asked.path[:200]}") from error


# Out of a container.


async def look(engine: Engine, record: Record, path: str) -> PathStat:
    """Return what ``path`` in the container is. Raises NotFound."""
    pid = _first_pid(engine, record)
    return await in_thread(lambda: _looked(engine, record, pid, path))


def _looked(engine: Engine, record: Record, pid: int, path: str) -> PathStat:
    asked = pathstat.wanted(path)
    with _errors(record, path), _seen(engine, record, pid) as root:
        found = pathstat.opened(root, asked)
        try:
            return pathstat.look(root, asked, found)
        finally:
            os.close(found)


@contextlib.asynccontextmanager
async def reading(engine: Engine, record: Record, path: str) -> AsyncIterator[Outgoing]:
    """Give what ``path`` in the container is, open to be read. Raises NotFound."""
    pid = _first_pid(engine, record)
    opening = asyncio.ensure_future(in_thread(lambda: _opened(engine, record, pid, path)))
    try:
        outgoing = await asyncio.shield(opening)
        engine.events.publish("container", "archive-path", record.id, attributes(record))
        yield outgoing
    finally:
        # What is being opened cannot be called back: it is waited for, and closed.
        done = await asyncio.gather(opening, return_exceptions=True)
        if isinstance(done[0], Outgoing):
            await in_thread(done[0].held.close)


def _opened(engine: Engine, record: Record, pid: int, path: str) -> Outgoing:
    asked = pathstat.wanted(path)
    with _errors(record, path), contextlib.ExitStack() as held:
        root = held.enter_context(_seen(engine, record, pid))
        found = pathstat.opened(root, asked)
        held.callback(os.close, found)
        told = pathstat.look(root, asked, found)
        if stat.S_ISDIR(os.fstat(found).st_mode):
            place, name, top = found, b".", found
        else:
            place, name = inroot.open_parent(root, asked.path)
            held.callback(os.close, place)
            top = None
        _refuse_made_up(place, asked)
        return Outgoing(asked, told, place, name, top, held.pop_all())


@contextlib.contextmanager
def _seen(engine: Engine, record: Record, pid: int) -> Iterator[int]:
    """Give the root of the container, to be read."""
    with contextlib.ExitStack() as held:
        try:
            root = held.enter_context(inside.running(record, pid))
        except inside.Ended:
            root = held.enter_context(inside.stopped(engine, record, writable=False))
        yield root


def _first_pid(engine: Engine, record: Record) -> int:
    """Return the pid of the container's first process, 0 when there is none."""
    shim = engine.live(record.id).shim
    return shim.room_pid if shim and record.active else 0


# Into a container.


async def write(
    engine: Engine, record: Record, path: str, archive: Iterable[bytes], rules: Rules
) -> None:
    """Unpack ``archive`` into the directory ``path`` of the container.

    ``archive`` may be compressed, and is read in a thread. Raises NotFound, InvalidArgument for
    what is no directory or may not be written, and for the archive.
    """
    live = engine.live(record.id)
    async with live.lock:
        record = engine.current(record)
        if not record.active:
            if live.removals or record.state.status == "removing":
                raise Conflict(f"container {record.name} is marked for removal")
            if live.leaving is not None:
                await asyncio.shield(live.leaving.gone)  # until then it has the root mounted
            root = inside.stopped(engine, record, writable=True)
            await in_own_thread(lambda: _write(engine, record, path, archive, rules, root))
    if record.active:
        running = _while_running(record, archive, live.exit.done)
        root = inside.running(record, _first_pid(engine, record))
        await in_own_thread(lambda: _write(engine, record, path, running, rules, root))
    engine.events.publish("container", "extract-to-dir", record.id, attributes(record))


def _while_running(
    record: Record, archive: Iterable[bytes], ended: Callable[[], bool]
) -> Iterator[bytes]:
    """Yield the pieces; raise Ended once the container has: another run's root is another."""
    for piece in archive:
        if ended():
            raise inside.Ended(record)
        yield piece


def _write(
    engine: Engine,
    record: Record,
    path: str,
    archive: Iterable[bytes],
    rules: Rules,
    inside_root: contextlib.AbstractContextManager[int],
) -> None:
    asked = pathstat.wanted(path)
    with _errors(record, path), inside_root as root:
        _check_place(root, asked)
        user, groups = record.fixed.config.user, tuple(record.fixed.host.group_add or ())
        owner = None
        if rules.as_user and user:
            identity = engine.users.identify_at(root, user, groups)
            owner = identity.uid, identity.gid
        target = Target(root, os.fsencode(asked.path), _ARCHIVE, owner, rules.keep_kinds)
        plain = Stream(compression.decompress(archive, None, _ARCHIVE, DEFAULT.archive_bytes))
        extract(plain, target)
        plain.drain()  # what may follow the end of an archive


def _check_place(root: int, asked: Wanted) -> None:
    """Refuse to write where nothing can or may be. Raises InvalidArgument, OSError."""
    try:
        place = inroot.open_in(root, asked.path, os.O_PATH | os.O_DIRECTORY)
    except NotADirectoryError:
        raise InvalidArgument("extraction point is not a directory") from None
    try:
        _refuse_made_up(place, asked)
        if os.fstatvfs(place).f_flag & os.ST_RDONLY:
            own = os.fstat(place).st_dev == os.fstat(root).st_dev
            what = "container rootfs" if own else "mounted volume"
            raise InvalidArgument(f"{what} is marked read-only")
    finally:
        os.close(place)


def _refuse_made_up(place: int, asked: Wanted) -> None:
    if kind := made_up(place):
        raise InvalidArgument(
            f"cannot copy {asked.path[:200]}: it is in a {kind} file system, which the kernel"
            " makes up"
        )


@contextlib.contextmanager
def _errors(record: Record, path: str) -> Iterator[None]:
    """Raise what the system refuses as the error that fits."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(
            f"Could not find the file {path[:4096]} in container {record.name}"
        ) from error
    except OSError as error:
        kinds: dict[int, type[Error]] = {
            errno.ENOTDIR: InvalidArgument,
            errno.ELOOP: InvalidArgument,
            errno.EROFS: InvalidArgument,
            errno.EXDEV: InvalidArgument,
        }
        kind = kinds.get(error.errno or 0)
        if kind is None:
            raise from_os(error, f"cannot copy {path[:200]} of container {record.name}") from error
        raise kind(f"cannot copy {path[:200]}: {os.strerror(error.errno or 0).lower()}") from error
