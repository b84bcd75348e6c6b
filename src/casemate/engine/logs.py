"""A container's output, from its log: as it was, and as it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import NamedTuple

from casemate.engine.clock import now_ns, rfc3339
from casemate.engine.engine import Engine
from casemate.engine.logfile import Entry, LogReader
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.errors import NotFound, Unsupported, from_os
from casemate.http.framing import frame

#: Entries are handed on in batches of about this many bytes, or when so many were looked at.
_BATCH, _LOOKED_AT = 64 << 10, 1000


class Wanted(NamedTuple):
    """Which part of the log. Times in nanoseconds since the epoch; ``tail`` -1 is all of it.

    ``details`` asks for the attributes of a log, of which ours has none: a blank is behind them.
    """

    stdout: bool = True
    stderr: bool = True
    follow: bool = False
    timestamps: bool = False
    details: bool = False
    tail: int = -1
    since_ns: int = 0
    until_ns: int = 0


def check(record: Record) -> None:
    """Refuse when there is no log. Raises Unsupported."""
    if record.fixed.host.log_config.type == "none":
        raise Unsupported("configured logging driver does not support reading")


async def read(engine: Engine, record: Record, wanted: Wanted) -> AsyncGenerator[bytes, None]:
    """Yield the log in pieces: framed, or raw for a container with a terminal."""
    directory = engine.paths.container(record.id)
    selection = _Selection(wanted, framed=not record.fixed.config.tty)
    try:
        reader = LogReader(directory)
    except FileNotFoundError as error:
        raise NotFound(f"No such container: {record.name}") from error
    except OSError as error:
        raise from_os(error, f"cannot read the log of {record.name}") from error
    with contextlib.closing(reader), contextlib.ExitStack() as stack:
        # Watched before the first look, so that nothing can be missed in between.
        changed = stack.enter_context(_changes(engine, record.id)) if wanted.follow else None
        if wanted.tail >= 0:
            await in_thread(lambda: reader.go_to_last(wanted.tail))
        for piece in selection.pieces(reader.entries()):
            yield piece
            await asyncio.sleep(0)  # a fast reader of a long log is not alone
        while changed and not selection.past_end:
            over = not _runs(engine, record.id)
            changed.clear()
            for piece in selection.pieces(reader.entries()):
                yield piece
                await asyncio.sleep(0)
            if over or not await _next(changed, wanted.until_ns):
                return


@contextlib.contextmanager
def _changes(engine: Engine, id_: str) -> Iterator[asyncio.Event]:
    """Give an event that is set when the log changes, and when the present run ends."""
    ending = engine.live(id_).exit
    with engine.watching.watched(engine.paths.container(id_)) as changed:

        def ended(_: asyncio.Future[int]) -> None:
            changed.set()

        ending.add_done_callback(ended)
        try:
            yield changed
        finally:
            ending.remove_done_callback(ended)


def _runs(engine: Engine, id_: str) -> bool:
    record = engine.records.get(id_)
    return record is not None and record.active


async def _next(changed: asyncio.Event, until_ns: int) -> bool:
    """Wait for the next change; False when ``until_ns`` has passed (0: never)."""
    try:
        async with asyncio.timeout((until_ns - now_ns()) / 1e9 if until_ns else None):
            return await changed.wait()
    except TimeoutError:
        return False


class _Selection:
    """Chooses entries and writes them as the client wants them."""

    def __init__(self, wanted: Wanted, *, framed: bool) -> None:
        self._wanted = wanted
        self._framed = framed
        self._since = _comparable(rfc3339(wanted.since_ns)) if wanted.since_ns else ""
        self._until = _comparable(rfc3339(wanted.until_ns)) if wanted.until_ns else ""
        self._begins = {1: True, 2: True}
        self.past_end = False

    def pieces(self, entries: Iterable[Entry]) -> Iterator[bytes]:
        """Yield batches of what is chosen of ``entries``; empty ones while nothing is."""
        batch = bytearray()
        for count, entry in enumerate(entries, 1):
            if self._chosen(entry):
                batch += self._written(entry)
            if len(batch) >= _BATCH or not count % _LOOKED_AT:
                yield bytes(batch)
                batch.clear()
        if batch:
            yield bytes(batch)

    def _written(self, entry: Entry) -> bytes:
        data = entry.data
        if self._begins[entry.stream]:
            data = self._before(entry) + data
        self._begins[entry.stream] = data.endswith(b"\n")
        return frame(entry.stream, len(data)) + data if self._framed else data

    def _before(self, entry: Entry) -> bytes:
        """Return what is put before a line."""
        time = f"{entry.time} ".encode() if self._wanted.timestamps else b""
        return time + b" " if self._wanted.details else time

    def _chosen(self, entry: Entry) -> bool:
        time = _comparable(entry.time)
        if self._until and time > self._until:
            self.past_end = True
            return False
        if time < self._since:
            return False
        return self._wanted.stdout if entry.stream == 1 else self._wanted.stderr


def _comparable(time: str) -> str:
    """Return a time whose order as text is its order in time."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<9}"
