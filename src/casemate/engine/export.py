"""A container's whole root as a tar."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

from casemate.engine import rootfs, states
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.engine.threads import pieces
from casemate.layer import diff


def root_tar(engine: Engine, record: Record) -> AsyncGenerator[bytes, None]:
    """Yield the tar of what the container's root looks like now. Raises Conflict."""
    states.allow("export", record, engine.status(record))
    return pieces(_read(engine, record))


def _read(engine: Engine, record: Record) -> Generator[bytes, None, None]:
    root = engine.root(record)
    with rootfs.seen(root, engine.host.root_place, new_api=engine.host.overlay_layers) as tree:
        yield from diff.archive(f"/proc/self/fd/{tree}/.", f"container {record.name}")
