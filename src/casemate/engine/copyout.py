"""Files out of a container: the reading half of Docker's archive endpoint.

Source: Docker Engine API v1.47, ContainerArchive and ContainerArchiveInfo. The container is in
nobody's way and nobody in its: it runs, ends, starts and is removed meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Generator, Iterator
from typing import NamedTuple

from casemate.engine import inside, pathstat
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.inside import Root
from casemate.engine.pathstat import PathStat, Wanted
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.errors import from_os
from casemate.layer import view
from casemate.linux import inroot


class Outgoing(NamedTuple):
    """An entry of a container, open to be read: ``name`` in the directory ``place``.

    ``top`` is the entry itself when it is a directory.
    """

    root: Root
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
            yield from view.archive(found, self.top, self.root.id_of)
        except OSError as error:
            raise from_os(error, f"cannot read {self.asked.path[:200]}") from error


async def look(engine: Engine, record: Record, path: str) -> PathStat:
    """Return what ``path`` in the container is. Raises NotFound."""
    pid = inside.first_pid(engine, record)
    return await in_thread(lambda: _looked(engine, record, pid, path))


def _looked(engine: Engine, record: Record, pid: int, path: str) -> PathStat:
    asked = pathstat.wanted(path)
    with inside.errors(record, path), _seen(engine, record, pid) as root:
        found = pathstat.opened(root.descriptor, asked)
        try:
            return pathstat.look(root.descriptor, asked, found)
        finally:
            os.close(found)


@contextlib.asynccontextmanager
async def reading(engine: Engine, record: Record, path: str) -> AsyncIterator[Outgoing]:
    """Give what ``path`` in the container is, open to be read. Raises NotFound."""
    pid = inside.first_pid(engine, record)
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
    with inside.errors(record, path), contextlib.ExitStack() as held:
        root = held.enter_context(_seen(engine, record, pid))
        found = pathstat.opened(root.descriptor, asked)
        held.callback(os.close, found)
        told = pathstat.look(root.descriptor, asked, found)
        if stat.S_ISDIR(os.fstat(found).st_mode):
            place, name, top = found, b".", found
        else:
            place, name = inroot.open_parent(root.descriptor, asked.path)
            held.callback(os.close, place)
            top = None
        inside.refuse_made_up(place, asked.path)
        return Outgoing(root, asked, told, place, name, top, held.pop_all())


@contextlib.contextmanager
def _seen(engine: Engine, record: Record, pid: int) -> Iterator[Root]:
    """Give the root of the container, to be read."""
    with contextlib.ExitStack() as held:
        try:
            root = held.enter_context(inside.running(record, pid))
        except inside.Ended:
            root = held.enter_context(inside.stopped(engine, record, writable=False))
        yield root
