"""Images, as an engine offers them: the image room's verbs with this engine's stores and events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from casemate.content import collect as collecting
from casemate.engine.clock import now_ns, rfc3339
from casemate.engine.engine import Engine
from casemate.engine.signals import number as signal_number
from casemate.engine.threads import in_own_thread, in_thread
from casemate.errors import Error, NotFound
from casemate.image import create as creating
from casemate.image import load as loading
from casemate.image import pull as pulling
from casemate.image import push as pushing
from casemate.image import reachable
from casemate.image.changes import apply
from casemate.image.create import Origin
from casemate.image.load import Loaded
from casemate.image.progress import Report, Tell
from casemate.image.push import Pushed
from casemate.image.store import Image
from casemate.oci import platform as platforms
from casemate.oci import reference as references
from casemate.oci.digest import Digest
from casemate.oci.image import RunConfig
from casemate.oci.platform import Platform
from casemate.oci.reference import Reference
from casemate.registry import manifests
from casemate.registry.client import Registry
from casemate.registry.credentials import Keychain
from casemate.supervise import program

T = TypeVar("T")

#: The image that comes with casemate; no registry is asked for it.
HELLO = references.parse("hello")


async def pull(
    engine: Engine, reference: Reference, keychain: Keychain, platform: Platform | None, tell: Tell
) -> Image:
    """Have the image ``reference`` from its registry. Raises what the registry client does."""
    if reference == HELLO:
        image = await in_thread(lambda: _hello(engine, tell))
    else:
        wanted = platform or platforms.host()

        def work(registry: Registry) -> Image:
            return pulling.pull(
                engine.images, registry, reference, platform=wanted, now_ns=now_ns(), tell=tell
            ).image

        image = await _with_registry(engine, keychain, work)
    engine.events.publish("image", "pull", reference.familiar, {"name": reference.familiar_name})
    return image


async def remote_tags(engine: Engine, name: Reference, keychain: Keychain) -> list[Reference]:
    """Return ``name`` with every tag that its registry has of it."""
    found = await _with_registry(engine, keychain, lambda registry: manifests.tags(registry, name))
    return [name._replace(tag=tag) for tag in found]


async def _with_registry(engine: Engine, keychain: Keychain, work: Callable[[Registry], T]) -> T:
    """Do ``work`` in a thread. It is broken off when who asked for it goes away."""
    with Registry(engine.settings.registry, keychain) as registry:
        task = asyncio.ensure_future(in_own_thread(lambda: work(registry)))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            registry.abort()
            await asyncio.gather(task, return_exceptions=True)
            raise


def _hello(engine: Engine, tell: Tell) -> Image:
    image = creating.hello(engine.images, program.path(), platform=platforms.host(), name=HELLO)
    tell(Report("Pulling from the casemate package", HELLO.tag))
    tell(Report(f"Status: Downloaded newer image for {HELLO.familiar}"))
    return image


async def push(engine: Engine, reference: Reference, keychain: Keychain, tell: Tell) -> Pushed:
    """Send the image of that name to its registry."""
    image = engine.images.named(reference)
    if image is None:
        raise NotFound(f"An image does not exist locally with the tag: {reference.familiar_name}")

    def work(registry: Registry) -> Pushed:
        return pushing.push(engine.images, registry, image, reference, tell)

    pushed = await _with_registry(engine, keychain, work)
    engine.events.publish("image", "push", reference.familiar, {"name": reference.familiar_name})
    return pushed


async def load(engine: Engine, chunks: Iterable[bytes], platform: Platform | None) -> list[Loaded]:
    """Store every image of an archive; what no image needs of it is not kept."""
    wanted = platform or platforms.host()
    try:
        loaded = await in_own_thread(
            lambda: loading.load(engine.images, chunks, platform=wanted, now_ns=now_ns())
        )
    except (Error, OSError):
        await collect(engine)
        raise
    for one in loaded:
        engine.events.publish("image", "load", one.image.id, {"name": one.image.id})
    return loaded


async def import_root(
    engine: Engine,
    chunks: Iterable[bytes],
    *,
    name: Reference | None,
    message: str,
    changes: list[str],
    platform: Platform | None,
    directory: str = "",
) -> Image:
    """Make an image of a root tar, or of what is below a ``directory`` of it."""
    at = now_ns()
    origin = Origin(rfc3339(at), at, comment=message or "Imported from -")
    run = changed(RunConfig(), changes)
    image = await in_own_thread(
        lambda: creating.import_root(
            engine.images,
            chunks,
            platform=platform or platforms.host(),
            run=run,
            name=name,
            origin=origin,
            directory=directory,
        )
    )
    engine.events.publish("image", "import", image.id, {"name": name.familiar if name else ""})
    return image


def changed(run: RunConfig, changes: Iterable[str]) -> RunConfig:
    """Return ``run`` after ``changes``. Raises InvalidArgument, also for a signal that is none."""
    run = apply(run, changes)
    if run.stop_signal:
        signal_number(run.stop_signal)
    return run


def tags(engine: Engine, repository: Reference) -> list[Reference]:
    """Return the names in ``repository``. Raises NotFound when there is none."""
    found = {
        name
        for image in engine.images.all()
        for name in image.tags
        if name.repository == repository.repository
    }
    if not found:
        raise NotFound(f"An image does not exist locally with the tag: {repository.familiar_name}")
    return sorted(found)


def tag(engine: Engine, image: Image, name: Reference) -> None:
    """Give an image one more name."""
    engine.images.tag(image, name)
    engine.events.publish("image", "tag", image.id, {"name": name.familiar})


async def prune(
    engine: Engine, *, everything: bool, matches: Callable[[Image], bool]
) -> tuple[list[dict[str, str]], int]:
    """Remove the images that nothing needs: those without a name, or with ``everything`` all that
    no container uses. Returns what went, and the bytes that were freed.
    """
    used = {record.fixed.image for record in engine.owners()}
    gone: list[dict[str, str]] = []
    for image in engine.images.all():
        if image.id in used or (image.tags and not everything) or not matches(image):
            continue
        gone.extend({"Untagged": name.familiar} for name in image.names)
        gone.append({"Deleted": image.id})
        engine.images.forget(image)
    return gone, await collect(engine)


async def collect(engine: Engine) -> int:
    """Remove blobs and layers that nothing reaches; returns the bytes freed."""
    return await in_thread(lambda: _collect(engine))


def _collect(engine: Engine) -> int:
    def roots() -> Iterator[Digest]:
        yield from reachable.roots(engine.images.all())
        # Containers afterwards: one that is being created says so before it looks for its image.
        for record in engine.owners():
            yield from record.fixed.layers
            if record.fixed.image:
                yield record.fixed.image

    def sweep(known: frozenset[Digest]) -> int:
        freed = 0
        gone = [d for d in engine.layers.walk() if d not in known]
        for diff_id in gone:
            size = engine.layers.usage(diff_id)
            engine.snapshots.release(diff_id)
            engine.stubs.release(diff_id)
            engine.layers.delete(diff_id)
            freed += size
        engine.images.forget_blobs(gone)
        return freed

    found = collecting.collect(
        engine.content, roots, lambda d: reachable.edges(engine.images, d), sweeps=(sweep,)
    )
    return found.freed_bytes


def size(engine: Engine, image: Image) -> int:
    """Return the bytes of the image's layers, uncompressed."""
    return sum(engine.layers.get(diff_id).size_bytes for diff_id in image.layers)
