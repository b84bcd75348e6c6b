"""Remove a container: its processes, its writable layer, its log, its record, in this order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping

from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.engine.times import time_of
from casemate.errors import Conflict, InvalidArgument, NotFound, from_os


async def remove(engine: Engine, record: Record, *, force: bool = False) -> None:
    """Remove the container. One that runs is killed with ``force``, else it is a Conflict.

    With ``force`` it is no error when it vanishes meanwhile.
    """
    live = engine.live(record.id)
    if engine.current(record).active:
        if not force:
            raise Conflict(
                f'cannot remove container "{record.name}": container is running: stop the'
                " container before removing or force remove"
            )
        await _kill(engine, record)
    async with live.lock:
        if force and engine.records.get(record.id) is None:
            return  # it was to vanish at its end, and somebody has made it end
        record = engine.current(record)
        if record.active:
            raise Conflict(f'cannot remove container "{record.name}": it was started again')
        _take_away(engine, record)
        code = record.state.exit_code
        live.drop_clients()
        engine.forget(record.id)
    for future in (live.exit, live.removed):
        if not future.done():
            future.set_result(code)
    engine.events.publish("container", "destroy", record.id, attributes(record))
    engine.background(_empty_trash(engine))


async def _kill(engine: Engine, record: Record) -> None:
    live = engine.live(record.id)
    if live.shim:
        try:
            await live.shim.kill(0, 9)
        except (OSError, NotFound):
            pass  # it has just ended by itself
        await asyncio.shield(live.exit)


def _take_away(engine: Engine, record: Record) -> None:
    """Take everything of the container out of sight, by renames and one transaction.

    A crash in between leaves files without a record, which the next engine removes.
    """
    try:
        engine.networking.leave(record)
        engine.records.remove(record.id)
        with contextlib.suppress(NotFound):
            engine.snapshots.set_aside(record.id)
        with contextlib.suppress(FileNotFoundError):
            os.rename(engine.paths.container(record.id), f"{engine.paths.trash}/{record.id}")
    except OSError as error:
        raise from_os(error, f"cannot remove container {record.name}") from error


async def _empty_trash(engine: Engine) -> None:
    await asyncio.get_running_loop().run_in_executor(None, empty_trash, engine)


def empty_trash(engine: Engine) -> None:
    """Remove what was taken out of sight."""
    engine.snapshots.clean()
    for name in os.listdir(engine.paths.trash):
        shutil.rmtree(f"{engine.paths.trash}/{name}", ignore_errors=True)


async def prune(engine: Engine, filters: Mapping[str, list[str]]) -> tuple[list[str], int]:
    """Remove the containers that do not run; returns their ids and the bytes freed."""
    unknown = sorted(set(filters) - {"label", "label!", "until"})
    if unknown:
        raise InvalidArgument(f"invalid filter '{unknown[0][:40]}'")
    gone, freed = [], 0
    for record in engine.records.all():
        if record.active or record.state.status in ("removing", "restarting"):
            continue
        if not _matches(record, filters):
            continue
        try:
            size = engine.snapshots.usage(record.id)
            await remove(engine, record)
        except (Conflict, NotFound):
            continue  # started or removed by somebody else meanwhile
        gone.append(record.id)
        freed += size
    return gone, freed


def _matches(record: Record, filters: Mapping[str, list[str]]) -> bool:
    labels = record.fixed.config.labels or {}

    def has(text: str) -> bool:
        name, separator, value = text.partition("=")
        return name in labels and (not separator or labels[name] == value)

    until = [time_of(text) for text in filters.get("until", ())]
    return (
        all(map(has, filters.get("label", ())))
        and not any(map(has, filters.get("label!", ())))
        and all(record.created_ns < at for at in until)
    )


def erase_leftover(engine: Engine, id_: str) -> None:
    """Remove files of a container that has no record: a crash came before or after it had one."""
    try:
        engine.snapshots.remove(id_)
    except NotFound:
        pass
    path = engine.paths.container(id_)
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
