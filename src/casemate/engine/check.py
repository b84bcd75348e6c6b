"""fsck: everything that is kept is held against what it should be, and mended when asked.

Blobs and layers against their digests, indexes against their tars, references against what they
name, mounts, cgroups, writable layers and state directories against the records that own them.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from casemate.content import fsck as blobs
from casemate.engine import parents, run
from casemate.engine.engine import Engine
from casemate.engine.erase import empty_trash, erase
from casemate.engine.groups import places
from casemate.engine.images import collect
from casemate.engine.threads import in_thread
from casemate.errors import Error, NotFound
from casemate.image.store import Image
from casemate.linux.cgroups import cgroup as cgroups
from casemate.oci import media
from casemate.oci.digest import Digest
from casemate.snapshot.contract import Finding


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


#: Mends one problem, in a thread, and returns in words what was done.
_Mend = Callable[[], str]
_Found = dict[Problem, _Mend | None]
_Look = Callable[[Engine], Awaitable[_Found]]


async def check(engine: Engine, *, repair: bool) -> AsyncIterator[Problem | Checked]:
    """Yield every problem, then the counts. With ``repair`` each one is mended if it can be.

    The engine goes on meanwhile; so what is found is looked for again, and only what is still
    there is a problem.
    """
    for look in _LOOKS:
        found = await look(engine)
        again = await look(engine) if found else {}
        for problem, mend in again.items():
            if problem in found:
                yield problem._replace(repair=await _mended(mend) if repair and mend else "")
    # Also those that are being started or are ending: they have their places, or give them back.
    living = {record.id for record in engine.records.all() if record.active}
    for text in engine.networking.check(living | _busy(engine)):
        yield Problem("network", "", text)
    if repair:
        await collect(engine)
    yield Checked(
        blobs=sum(1 for _ in engine.content.walk()),
        layers=sum(1 for _ in engine.layers.walk()),
        images=len(engine.images.all()),
        containers=len(engine.records.all()),
    )


def _busy(engine: Engine) -> set[str]:
    """Return the containers with which something goes on; their removal may be it."""
    return {live.id for live in engine.lives() if live.lock.locked()}


async def _mended(mend: _Mend) -> str:
    try:
        return await in_thread(mend)
    except (Error, OSError) as error:
        return f"cannot be mended: {error}"


# ---- bytes ----


async def _blobs(engine: Engine) -> _Found:
    def look() -> _Found:
        return {
            Problem("blob", f.path, f"{f.problem}: {f.detail}"): _quarantine(engine, f)
            for f in blobs.check(engine.content)
        }

    return await in_thread(look)


def _quarantine(engine: Engine, finding: blobs.Finding) -> _Mend:
    return lambda: blobs.repair(engine.content, finding)


async def _layers(engine: Engine) -> _Found:
    def look() -> _Found:
        found: _Found = {}
        for diff_id in list(engine.layers.walk()):
            try:
                engine.layers.verify(diff_id)
            except NotFound:
                continue  # removed meanwhile
            except Error as error:
                found[Problem("layer", diff_id, error.message)] = _new_layer(engine, diff_id)
        return found

    return await in_thread(look)


def _new_layer(engine: Engine, diff_id: Digest) -> _Mend:
    return lambda: _mend_layer(engine, diff_id)


def _mend_layer(engine: Engine, diff_id: Digest) -> str:
    """Make the layer anew from a stored blob, or take it away if nothing needs it."""
    for blob in engine.images.blobs_of(diff_id):
        if not engine.content.has(blob.digest):
            continue
        engine.snapshots.release(diff_id)
        engine.layers.delete(diff_id)
        with engine.content.lease() as lease, engine.content.open(blob.digest) as file:
            lease.add(diff_id)
            engine.layers.ingest(
                iter(lambda: file.read(1 << 20), b""),
                what=f"blob {blob.digest}",
                expected=diff_id,
                compression=media.layer_compression(blob.media_type),
            )
        return f"made anew from blob {blob.digest}"
    if any(diff_id in record.fixed.layers for record in engine.owners()):
        return "kept: a container uses it; remove the container, then run again"
    engine.snapshots.release(diff_id)
    engine.layers.delete(diff_id)
    return "removed: pull its images again"


# ---- records ----


async def _images(engine: Engine) -> _Found:
    found: _Found = {}
    for image in engine.images.all():
        lost = [d for d in image.layers if not engine.layers.has(d)]
        name = image.tags[0].familiar if image.tags else image.id
        if lost:
            problem = Problem("image", name, f"layer {lost[0]} is not stored")
            found[problem] = _forgotten(engine, image)
        elif image.manifest and not engine.content.has(image.manifest):
            found[Problem("image", name, f"its manifest {image.manifest} is not stored")] = None
    return found


def _forgotten(engine: Engine, image: Image) -> _Mend:
    def forget() -> str:
        engine.images.forget(image)
        names = ", ".join(name.familiar for name in image.names) or "no name"
        return f"removed, with {names}: pull it again"

    return forget


async def _containers(engine: Engine) -> _Found:
    """Hold records against what is on disk, and what is on disk against records."""
    there = await in_thread(lambda: _keys(engine))
    found: _Found = {}
    ids = {record.id for record in engine.owners()} | _busy(engine)
    for kind, name in there:
        if name not in ids:
            found[Problem(kind, name, "no container owns it")] = _erased(engine, name)
    for record in engine.records.all():
        if not engine.snapshots.has(record.id):
            found[Problem("container", record.name, "its writable layer is gone")] = None
        if record.fixed.image and not engine.content.has(record.fixed.image):
            what = f"its image {record.fixed.image} is gone"
            found[Problem("container", record.name, what)] = None
        for diff_id in record.fixed.layers:
            if not engine.layers.has(diff_id):
                found[Problem("container", record.name, f"layer {diff_id} is not stored")] = None
    return found


def _keys(engine: Engine) -> list[tuple[str, str]]:
    names = sorted(os.listdir(f"{engine.paths.root}/containers"))
    return [
        *(("container", name) for name in names if not name.startswith(".")),
        *(("snapshot", key) for key in engine.snapshots.keys()),
    ]


def _erased(engine: Engine, name: str) -> _Mend:
    def mend() -> str:
        erase(engine, name)
        empty_trash(engine)
        return "removed"

    return mend


async def _volumes(engine: Engine) -> _Found:
    missing = await in_thread(engine.volumes.missing)
    found: _Found = {
        Problem("volume", name, "its directory is gone"): _made_again(engine, name)
        for name in missing
    }
    for name in await in_thread(engine.volumes.unknown):
        found[Problem("volume", name, "it is not written down")] = None
    return found


def _made_again(engine: Engine, name: str) -> _Mend:
    def mend() -> str:
        engine.volumes.restore(name)
        return "made again: what it held is lost"

    return mend


async def _snapshots(engine: Engine) -> _Found:
    def look() -> list[Finding]:
        return list(engine.snapshots.check())

    found = await in_thread(look)
    return {Problem("snapshot", f.path, f"{f.problem}: {f.detail}"): None for f in found}


async def _cgroups(engine: Engine) -> _Found:
    name = engine.settings.name
    paths = await in_thread(lambda: cgroups.walk(engine.hierarchies, name))
    owned = engine.cgroups
    found: _Found = {
        Problem("cgroup", path, "no container owns it"): _removed(engine, path)
        for path in reversed(paths)
        if path not in owned and not any(o.startswith(f"{path}/") for o in owned)
    }
    for path in filter(lambda p: engine.cgroup(p).is_idle(), parents.unused(engine)):
        problem = Problem("cgroup", path, "it was made for containers and has none")
        found[problem] = _given_back(engine, path)
    return found


def _given_back(engine: Engine, path: str) -> _Mend:
    def remove() -> str:
        parents.remove_unused(engine, path)
        return "kept: others use it" if path in engine.parents.paths else "removed"

    return remove


def _removed(engine: Engine, path: str) -> _Mend:
    def remove() -> str:
        run.clear(engine.cgroup(path))
        return "removed"

    return remove


async def _groups(engine: Engine) -> _Found:
    async with engine.grouping:  # what is on paper is in force when nobody changes it
        found = await in_thread(lambda: list(places.findings(engine)))
    return {Problem("group", g.name, text): _within_budget(engine, g.name) for g, text in found}


def _within_budget(engine: Engine, name: str) -> _Mend:
    def mend() -> str:
        places.apply(engine, engine.groups.find(name))
        return "its budget is in force again"

    return mend


_LOOKS: tuple[_Look, ...] = (
    _blobs,
    _layers,
    _images,
    _snapshots,
    _containers,
    _cgroups,
    _groups,
    _volumes,
)
