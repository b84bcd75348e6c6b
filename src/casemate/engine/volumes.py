"""Volumes: made, listed, removed, and given to containers with their first content."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping

import msgspec

from casemate.engine import labels, rootfs, volumespecs
from casemate.engine.diskusage import allocated
from casemate.engine.engine import Engine
from casemate.engine.erase import empty_trash
from casemate.engine.filters import flag, refuse_unknown
from casemate.engine.model import HostConfig, VolumeOptions
from casemate.engine.names import new_id
from casemate.engine.records import MountPoint, Record
from casemate.engine.threads import in_thread
from casemate.errors import (
    Conflict,
    FailedPrecondition,
    NotFound,
    from_os,
)
from casemate.snapshot.mounts import RootMount
from casemate.volume.model import ANONYMOUS, Volume

_DRIVER = "local"
_FILTERS = frozenset(("name", "driver", "label", "dangling"))
_PRUNED = frozenset(("label", "label!", "all"))


async def create(
    engine: Engine, name: str, labels: Mapping[str, str], options: Mapping[str, str]
) -> Volume:
    """Return the volume ``name``, which is made if it is not there; without a name it gets one."""
    marks = labels if name else {ANONYMOUS: "", **labels}
    volume, new = await in_thread(lambda: engine.volumes.ensure(name or new_id(), marks, options))
    await engine.durability.settled()
    tell(engine, "create", [volume.name] if new else [])
    return volume


def users(engine: Engine, name: str) -> list[str]:
    """Return the ids of the containers that mount the volume, or are about to."""
    found = [r.id for r in engine.owners() if any(m.name == name for m in r.fixed.mounts)]
    return list(dict.fromkeys(found))  # who is just being written down is told of twice


def listed(engine: Engine, filters: Mapping[str, list[str]]) -> list[Volume]:
    """Return the volumes that the filters leave, by name. Raises InvalidArgument."""
    refuse_unknown(filters, _FILTERS)
    dangling = [flag("dangling", text) for text in filters.get("dangling", ())]
    names, drivers = filters.get("name", ()), filters.get("driver", ())
    used = _used(engine) if dangling else set()
    return [
        volume
        for volume in engine.volumes.all()
        if (not names or any(text in volume.name for text in names))
        and (not drivers or _DRIVER in drivers)
        and labels.match(volume.labels, filters)
        and (not dangling or any(wanted == (volume.name not in used) for wanted in dangling))
    ]


async def remove(engine: Engine, name: str, *, force: bool) -> None:
    """Remove the volume with what it holds; with ``force`` it need not be there.

    Raises NotFound, Conflict while a container has it.
    """
    if force and engine.volumes.get(name) is None:
        return
    await in_thread(lambda: _remove(engine, name))
    await engine.durability.settled()
    tell(engine, "destroy", [name])
    engine.background(in_thread(lambda: empty_trash(engine)))


def _remove(engine: Engine, name: str) -> None:
    engine.volumes.remove(name, lambda n: users(engine, n))
    bury(engine)


def bury(engine: Engine) -> None:
    """Take what doomed volumes hold out of sight. Raises Error."""
    try:
        engine.volumes.bury(engine.trash)
    except OSError as error:
        raise from_os(error, "cannot remove a volume") from error


async def prune(engine: Engine, filters: Mapping[str, list[str]]) -> tuple[list[str], int]:
    """Remove volumes that nobody mounts: those without a name, or all with the filter ``all``.

    Returns their names and the bytes freed.
    """
    refuse_unknown(filters, _PRUNED)
    everything = any(flag("all", text) for text in filters.get("all", ()))
    used, gone, freed = _used(engine), [], 0
    for volume in engine.volumes.all():
        if volume.name in used or not (everything or volume.anonymous):
            continue
        if not labels.match(volume.labels, filters):
            continue
        size = await in_thread(functools.partial(usage, engine, volume.name))
        try:
            await remove(engine, volume.name, force=False)
        except (Conflict, NotFound):
            continue  # taken or removed by somebody else meanwhile
        gone.append(volume.name)
        freed += size
    return gone, freed


def usage(engine: Engine, name: str) -> int:
    """Return the bytes on disk of what the volume holds. Looks at every file."""
    return allocated(engine.volumes.data(name))


def located(
    engine: Engine, points: Iterable[MountPoint], host: HostConfig
) -> tuple[MountPoint, ...]:
    """Return ``points`` with the directory of each volume, whether it is there yet or not."""
    wishes, found = volumespecs.asked(host), []
    for point in points:
        if point.type == "volume":
            wish = wishes.get(point.destination, VolumeOptions())
            there = engine.volumes.get(point.name)
            options = there.options if there else wish.driver_config.options or {}
            device = options.get("device", "")
            source = device or engine.volumes.data(point.name)
            point = msgspec.structs.replace(point, source=source, hosted=bool(device))
        found.append(point)
    return tuple(found)


def provide(engine: Engine, record: Record, root: RootMount) -> list[str]:
    """Make the volumes of a new container that are not there, and give them their first content.

    Returns the names of the new ones; those that nobody has named vanish with this process until
    they are kept, with the container's record. Raises Error.
    """
    new = []
    wishes = volumespecs.asked(record.fixed.host)
    points = [point for point in record.fixed.mounts if point.type == "volume"]
    for point in points:
        wish = wishes.get(point.destination, VolumeOptions())
        marks = {ANONYMOUS: ""} if point.nameless else {}
        _, is_new = engine.volumes.ensure(
            point.name,
            {**marks, **(wish.labels or {})},
            wish.driver_config.options,
            kept=not point.nameless,
        )
        if is_new:
            new.append(point.name)
    fillable = [point for point in points if point.filled and not point.hosted]
    if fillable:
        _fill(engine, root, fillable)
    return new


def _fill(engine: Engine, root: RootMount, points: list[MountPoint]) -> None:
    place, new_api = engine.host.root_place, engine.host.overlay_layers
    with rootfs.seen(root, place, new_api=new_api) as seen:
        for point in points:
            try:
                engine.volumes.fill(point.name, seen, point.destination)
            except OSError as error:
                what = f"cannot copy {point.destination} of the image into volume {point.name}"
                raise from_os(error, what) from error


def check_sources(engine: Engine, record: Record) -> None:
    """Refuse a start whose volumes are not there any more. Raises FailedPrecondition."""
    for point in record.fixed.mounts:
        if point.type == "volume" and not os.path.isdir(engine.volumes.source(point.name)):
            raise FailedPrecondition(
                f"cannot mount volume {point.name} at {point.destination}: its directory"
                f" {engine.volumes.source(point.name)} is not there"
            )


def withdraw(engine: Engine, record: Record) -> None:
    """Take the nameless volumes back of a container that could not be created. Raises Error."""
    with (
        engine.volumes.dooming(lambda: going_with(engine, record)) as doom,
        engine.database.transaction(durable=False) as connection,
    ):
        doom(connection)
    bury(engine)


def tell(engine: Engine, action: str, names: Iterable[str]) -> None:
    """Publish what has happened to volumes."""
    for name in names:
        engine.events.publish("volume", action, name, {"driver": _DRIVER})


def going_with(engine: Engine, record: Record) -> list[str]:
    """Return the nameless volumes that only ``record`` mounts."""
    found = []
    for point in record.fixed.mounts:
        volume = engine.volumes.get(point.name) if point.nameless else None
        if volume and volume.anonymous and users(engine, volume.name) == [record.id]:
            found.append(volume.name)
    return found


def _used(engine: Engine) -> set[str]:
    return {m.name for r in engine.owners() for m in r.fixed.mounts if m.type == "volume"}
