"""Follow what a container uses, or look once. Source: moby daemon/stats.go."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from casemate.engine import usage
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.engine.sampling import Look
from casemate.engine.threads import in_thread
from casemate.engine.usage import Reading, Subject
from casemate.network import options


async def follow(engine: Engine, record: Record) -> AsyncGenerator[bytes, None]:
    """Yield a document a second, as long as the container is there."""
    with engine.sampling.followed(record.id, _looker(engine, record.id)) as feed:
        number = 0
        while sample := await feed.after(number):
            number = sample.number
            yield sample.body


async def once(engine: Engine, record: Record, *, compares: bool) -> bytes:
    """Return one document; one that ``compares`` has an earlier look in it, a second ago."""
    if not record.active:
        return _encoded(record, None, None)
    with engine.sampling.followed(record.id, _looker(engine, record.id)) as feed:
        sample = await feed.after(0)
        while sample and compares and not sample.compares:
            sample = await feed.after(sample.number)
    return sample.body if sample else _encoded(record, None, None)


def _looker(engine: Engine, id_: str) -> Look:
    """Return what looks at the container and remembers what it has seen before."""
    before: Reading | None = None

    async def look() -> tuple[bytes, bool] | None:
        nonlocal before
        record = engine.records.get(id_)
        if record is None:
            return None
        earlier, before = before, await _read(engine, record)
        return _encoded(record, before, earlier), earlier is not None or before is None

    return look


async def _read(engine: Engine, record: Record) -> Reading | None:
    shim = engine.live(record.id).shim
    if not record.active or shim is None:
        return None
    cgroup = engine.cgroup(record.state.cgroup)
    subject = Subject(cgroup, shim.room_pid, _prefix(engine, record))
    return await in_thread(lambda: usage.read(subject, engine.processors))


def _prefix(engine: Engine, record: Record) -> str:
    """Return how the names of the container's interfaces begin; of another's any name will do."""
    places = engine.networking.places(record.id)
    prefixes = {options.parse(network.options).interface_prefix for network, _ in places}
    return prefixes.pop() if len(prefixes) == 1 else ""


def _encoded(record: Record, reading: Reading | None, before: Reading | None) -> bytes:
    return msgspec.json.encode(usage.document(record, reading, before)) + b"\n"
