"""A container's output, from its log: as it was, and as it goes on."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import AsyncGenerator, Iterable, Iterator
from typing import NamedTuple

from casemate.engine.clock import rfc3339
from casemate.engine.engine import Engine
from casemate.engine.logfile import Entry, LogReader, last
from casemate.engine.records import Record
from casemate.errors import InvalidArgument, NotFound, Unsupported, from_os
from casemate.http.framing import frame

#: Entries are handed on in batches of about this many bytes.
_BATCH = 64 << 10


class Wanted(NamedTuple):
    """Which part of the log. Times in nanoseconds since the epoch; ``tail`` -1 is all of it."""

    stdout: bool = True
    stderr: bool = True
    follow: bool = False
    timestamps: bool = False
    tail: int = -1
    since_ns: int = 0
    until_ns: int = 0


def time_of(text: str) -> int:
    """Return a time of the API (seconds with a fraction, or RFC 3339) in nanoseconds; 0 for none.

    Raises InvalidArgument.
    """
    if text in ("", "0"):
        return 0
    whole, _, fraction = text.partition(".")
    if whole.isascii() and whole.isdigit() and (not fraction or fraction.isdigit()):
        return int(whole[:12]) * 1_000_000_000 + int(f"{fraction:0<9}"[:9])
    try:
        at = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(f"invalid time {text[:60]!r}: seconds or RFC 3339") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.UTC)
    return int(at.timestamp() * 1_000_000) * 1000


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
        changed = stack.enter_context(engine.watching.watched(directory)) if wanted.follow else None
        entries = reader.entries()
        first = last(entries, wanted.tail) if wanted.tail >= 0 else entries
        for piece in selection.pieces(iter(first)):
            yield piece
        if changed:
            # The end wakes the reader as well; a new run has a new future, and changes the log.
            engine.live(record.id).exit.add_done_callback(lambda _: changed.set())
        while changed and not selection.past_end:
            over = not engine.current(record).active
            changed.clear()
            for piece in selection.pieces(reader.entries()):
                yield piece
            if over:
                return
            await changed.wait()


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
        """Yield batches of what is chosen of ``entries``."""
        batch = bytearray()
        for entry in entries:
            if not self._chosen(entry):
                continue
            data = entry.data
            if self._wanted.timestamps and self._begins[entry.stream]:
                data = f"{entry.time} ".encode() + data
            self._begins[entry.stream] = data.endswith(b"\n")
            if self._framed:
                batch += frame(entry.stream, len(data))
            batch += data
            if len(batch) >= _BATCH:
                yield bytes(batch)
                batch.clear()
        if batch:
            yield bytes(batch)

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
