"""Create a container: everything is checked, its writable layer is made, and it is written down."""

from __future__ import annotations

import asyncio
import os
from typing import NamedTuple

import msgspec

from casemate.engine import (
    attachments,
    healthcheck,
    logoptions,
    merge,
    mountpoints,
    namefiles,
    names,
    parents,
    policy,
    possible,
    publishing,
    sharing,
    systems,
    translate,
    unsupported,
    volumes,
    volumespecs,
)
from casemate.engine.clock import now_ns
from casemate.engine.engine import Engine
from casemate.engine.erase import empty_trash, erase
from casemate.engine.model import Config, CreateRequest, HostConfig, config_of
from casemate.engine.records import Fixed, MountPoint, Record, State
from casemate.engine.signals import number as signal_number
from casemate.engine.translate import Surroundings
from casemate.errors import InvalidArgument, NotFound, Unsupported, from_os
from casemate.image.store import Image
from casemate.oci import platform as platforms
from casemate.oci.platform import Platform
from casemate.spec.identity import Identity
from casemate.walls import ids

_MAPPED_ROOTS = (6, 15)


class Created(NamedTuple):
    """A new container, and what its maker should know."""

    record: Record
    warnings: tuple[str, ...] = ()


async def create(
    engine: Engine,
    request: CreateRequest,
    name: str = "",
    platform: Platform | None = None,
    *,
    owned: bool = False,
) -> Created:
    """Create a container as ``request`` says; one that is ``owned`` does not outlive its owner.

    Raises NotFound for an image that is not here, or here for another platform than ``platform``.
    """
    record = describe(engine, request, name, platform)
    fixed = msgspec.structs.replace(record.fixed, owned=owned)
    record = msgspec.structs.replace(record, fixed=fixed)
    engine.making[record.id] = record
    try:
        engine.rooms.refill(soon=True)  # a start usually follows: a room can be ready by then
        loop = asyncio.get_running_loop()
        new_volumes = await loop.run_in_executor(None, _make, engine, record)
    finally:
        del engine.making[record.id]
    volumes.tell(engine, "create", new_volumes)
    engine.events.publish("container", "create", record.id, attributes(record))
    return Created(record, possible.warnings(request.host_config))


def describe(
    engine: Engine, request: CreateRequest, name: str = "", platform: Platform | None = None
) -> Record:
    """Return the record that ``request`` would become, without making anything."""
    config, host = config_of(request), request.host_config
    unsupported.refuse(config, host)
    sharing.check(host, config)
    systems.check(host, config)
    image = _image(engine, config, platform)
    full = systems.completed(merge.merged(config, image.config.config), host)
    record = Record(
        id=names.new_id(),
        name=_name(engine, name),
        created_ns=now_ns(),
        fixed=Fixed(
            config=full,
            host=host,
            image=image.id,
            manifest=image.manifest,
            layers=image.layers,
            args=merge.command(full),
            mounts=_mounts(engine, full, host),
            platform=image.config.os,
            first_id=_first_id(engine, host, config),
            group=parents.group_of(engine, host),
            attachments=attachments.wanted(config, host, request.networking_config),
        ),
        state=State(),
    )
    _check(engine, record)
    return record


def _mounts(engine: Engine, config: Config, host: HostConfig) -> tuple[MountPoint, ...]:
    points = volumespecs.complete(mountpoints.parse(host), config, host, engine.records)
    return volumes.located(engine, points, host)


def _first_id(engine: Engine, host: HostConfig, config: Config) -> int:
    """Return where a range of ids begins that no container has; 0 without a user namespace.

    It is the container's own as long as it is there. Raises Unsupported.
    """
    if "user" not in sharing.of(host, config).own:
        return 0
    if engine.machine.kernel < _MAPPED_ROOTS:
        raise Unsupported(
            "user namespaces are not supported on this kernel: overlayfs takes mapped layers as"
            " descriptors from Linux 6.15 on",
            hint="leave it to the host's with --userns host",
        )
    return ids.free({record.fixed.first_id for record in engine.owners()}, engine.settings.name)


def _name(engine: Engine, asked: str) -> str:
    """Return the name to give, which neither a container has nor one that is being created."""
    making = {record.name: record.id for record in engine.making.values()}
    if not asked:
        return names.generated(lambda name: name in making or engine.records.is_name_taken(name))
    name = names.checked(asked)
    if name in making:
        raise names.taken(name, making[name])
    return name


def _image(engine: Engine, config: Config, platform: Platform | None) -> Image:
    if not config.image:
        raise InvalidArgument("no image specified")
    image = engine.images.find(config.image)
    have = Platform(image.config.architecture, image.config.os, image.config.variant)
    if platform and platforms.rank(platform, have) is None:
        raise NotFound(
            f"image with reference {config.image} was found but its platform ({have}) does not"
            f" match the specified platform ({platform})"
        )
    if image.config.os != "linux":
        raise InvalidArgument(
            f"image {config.image} is for {image.config.os}: only linux images can run here"
        )
    return image


def _check(engine: Engine, record: Record) -> None:
    """Refuse now what the start would refuse: a container that cannot start helps nobody."""
    config, host = record.fixed.config, record.fixed.host
    translate.options(record, Identity(), engine.machine, surroundings=Surroundings())
    logoptions.parse(host.log_config)
    possible.check(host, engine.hierarchies)
    parents.check(engine, record, host)
    publishing.check(config, host)
    namefiles.check(config, host)
    policy.check(host)
    healthcheck.check(config, host)
    if config.stop_signal:
        signal_number(config.stop_signal)


def _make(engine: Engine, record: Record) -> list[str]:
    """Make the state directory, the writable layer and the volumes that are not there.

    The record makes them a container. Returns the new volumes.
    """
    assert record.fixed.image
    # It may have been removed since it was looked up; from here on a collection spares it.
    engine.images.get(record.fixed.image)
    directory = engine.paths.container(record.id)
    try:
        mountpoints.make_sources(record.fixed.host)
        os.mkdir(directory, 0o700)
        engine.snapshots.prepare(record.id, record.fixed.layers)
        root = engine.root(record)
        new = volumes.provide(engine, record, root)
        nameless = [point.name for point in record.fixed.mounts if point.nameless]
        engine.records.add(record, lambda c: engine.volumes.keep(c, nameless))
    except OSError as error:
        _undo(engine, record)
        raise from_os(error, f"cannot create container {record.name}") from error
    except BaseException:
        _undo(engine, record)
        raise
    return new


def _undo(engine: Engine, record: Record) -> None:
    erase(engine, record.id)
    volumes.withdraw(engine, record)
    empty_trash(engine)


def attributes(record: Record) -> dict[str, str]:
    """Return what an event tells about the container."""
    labels = record.fixed.config.labels or {}
    return {**labels, "image": record.fixed.config.image, "name": record.name}
