"""fsck: everything that is kept is held against what it should be, and mended when asked.

Blobs and layers against their digests, indexes against their tars, references against what they
name, mounts, cgroups, writable layers and state directories against the records that own them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Generator
from typing import NamedTuple

from casemate.content import fsck as blobs
from casemate.engine.engine import Engine
from casemate.engine.images import collect
from casemate.engine.remove import erase_leftover
from casemate.engine.threads import pieces
from casemate.errors import Error, NotFound
from casemate.image import reachable
from casemate.image.store import Image
from casemate.linux.cgroups import cgroup as cgroups
from casemate.oci import media
from casemate.oci.digest import Digest


class Problem(NamedTuple):
    """Something that is not as it should be, and what was done about it ("" for nothing)."""

    kind: str
    name: str
    problem: str
    repair: str = ""


class Checked(NamedTuple):
    """How much was looked at."""

    blobs: int
    layers: int
    images: int
    containers: int


async def check(engine: Engine, *, repair: bool) -> AsyncIterator[Problem | Checked]:
    """Yield every problem, then the counts. With ``repair`` each one is mended if it can be."""
    for look in (_blobs, _layers, _images, _snapshots, _containers, _cgroups):
        async for found in pieces(look(engine, repair)):
            yield found
    for problem in engine.networking.check({r.id for r in engine.records.all() if r.active}):
        yield Problem("network", "", problem)
    if repair:
        await collect(engine)
    yield Checked(
        blobs=sum(1 for _ in engine.content.walk()),
        layers=sum(1 for _ in engine.layers.walk()),
        images=len(engine.images.all()),
        containers=len(engine.records.all()),
    )


def _blobs(engine: Engine, repair: bool) -> Generator[Problem, None, None]:
    for finding in blobs.check(engine.content):
        done = blobs.repair(engine.content, finding) if repair else ""
        yield Problem("blob", finding.path, f"{finding.problem}: {finding.detail}", done)


def _layers(engine: Engine, repair: bool) -> Generator[Problem, None, None]:
    for diff_id in list(engine.layers.walk()):
        try:
            engine.layers.verify(diff_id)
        except NotFound:
            continue  # removed meanwhile
        except Error as error:
            done = _mend_layer(engine, diff_id) if repair else ""
            yield Problem("layer", diff_id, error.message, done)


def _mend_layer(engine: Engine, diff_id: Digest) -> str:
    """Make the layer anew from a stored blob, or take it away if nothing needs it."""
    for blob in engine.images.blobs_of(diff_id):
        if not engine.content.has(blob.digest):
            continue
        engine.snapshots.release(diff_id)
        engine.layers.delete(diff_id)
        with engine.content.lease() as lease, engine.content.open(blob.digest) as file:
            lease.add(diff_id)
            pieces = iter(lambda: file.read(1 << 20), b"")
            engine.layers.ingest(
                pieces,
                what=f"blob {blob.digest}",
                expected=diff_id,
                compression=media.layer_compression(blob.media_type),
            )
        return f"made anew from blob {blob.digest}"
    if any(diff_id in record.fixed.layers for record in engine.records.all()):
        return "kept: a container uses it; remove the container, then run again"
    engine.snapshots.release(diff_id)
    engine.layers.delete(diff_id)
    return "removed: pull its images again"


def _images(engine: Engine, repair: bool) -> Generator[Problem, None, None]:
    for image in engine.images.all():
        lost = [d for d in image.layers if not engine.layers.has(d)]
        name = image.tags[0].familiar if image.tags else image.id
        if lost:
            done = _drop_image(engine, image) if repair else ""
            yield Problem("image", name, f"layer {lost[0]} is not stored", done)
        elif image.manifest and not engine.content.has(image.manifest):
            yield Problem("image", name, f"its manifest {image.manifest} is not stored")


def _drop_image(engine: Engine, image: Image) -> str:
    engine.images.forget(image)
    return "removed: pull it again"


def _snapshots(engine: Engine, repair: bool) -> Generator[Problem, None, None]:
    ids = {record.id for record in engine.records.all()}
    for finding in engine.snapshots.check():
        yield Problem("snapshot", finding.path, f"{finding.problem}: {finding.detail}")
    for snapshot in list(engine.snapshots.walk()):
        if snapshot.key not in ids:
            if repair:
                erase_leftover(engine, snapshot.key)
            done = "removed" if repair else ""
            yield Problem("snapshot", snapshot.key, "no container owns it", done)
    for id_ in ids - {s.key for s in engine.snapshots.walk()}:
        yield Problem("container", id_, "its writable layer is gone")


def _containers(engine: Engine, repair: bool) -> Generator[Problem, None, None]:
    ids = {record.id for record in engine.records.all()}
    for name in sorted(os.listdir(f"{engine.paths.root}/containers")):
        if name not in ids and not name.startswith("."):
            if repair:
                erase_leftover(engine, name)
            done = "removed" if repair else ""
            yield Problem("container", name, "its files are here but no record", done)
    known = set(reachable.roots(engine.images.all()))
    for record in engine.records.all():
        if record.fixed.image and not engine.content.has(record.fixed.image):
            yield Problem("container", record.name, f"its image {record.fixed.image} is gone")
        lost = [d for d in record.fixed.layers if d not in known and not engine.layers.has(d)]
        if lost:
            yield Problem("container", record.name, f"layer {lost[0]} is not stored")


def _cgroups(engine: Engine, repair: bool) -> Generator[Problem, None, None]:
    owned = {r.state.cgroup for r in engine.records.all()} | engine.rooms.cgroups
    for path in reversed(cgroups.walk(engine.hierarchies, engine.settings.name)):
        if path in owned or any(o.startswith(f"{path}/") for o in owned):
            continue
        done = ""
        if repair:
            try:
                leftover = engine.cgroup(path)
                leftover.kill()
                leftover.delete()
                done = "removed"
            except Error as error:
                done = f"cannot be removed: {error}"
        yield Problem("cgroup", path, "no container owns it", done)
