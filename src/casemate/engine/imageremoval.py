"""Remove an image: a name first, and with the last name what it stands for.

Source: docker image rm; moby daemon/images/image_delete.go for what stands in the way of what.
"""

from __future__ import annotations

from typing import NamedTuple

from casemate.engine import images
from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.errors import Conflict, NotFound
from casemate.image.store import Image
from casemate.oci import reference as references
from casemate.oci.digest import Digest
from casemate.oci.reference import Reference


class Removed(NamedTuple):
    """What a removal took away: names, and the image with those of its layers that went along."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[Digest, ...] = ()


async def remove(engine: Engine, text: str, *, force: bool, prune: bool = True) -> Removed:
    """Take the name ``text`` away, or remove the image with the id ``text``.

    The image goes with its last name. Raises Conflict for an image that a container uses, or that
    is known under several names. Without ``prune`` layers wait for the next collection.
    """
    image = engine.images.find(text)
    named = _name_in(text, image)
    if named is None and "@" in text:
        raise NotFound(f"No such image: {text[:300]}")  # it was found, but not by a name of it
    users = [record for record in engine.owners() if record.fixed.image == image.id]
    if named:
        if users and not force and _is_last(image, named):
            raise Conflict(
                f'conflict: unable to remove repository reference "{text[:300]}" (must force) -'
                f" container {users[0].short} is using its referenced image {_short(image)}"
            )
        gone = _going_with(image, named)
        if len(gone) < len(image.names) or _running(users):
            _untag(engine, image, gone)
            return Removed(tuple(n.familiar for n in gone))
    else:
        _check_id(image, users, force=force)
    return await _forget(engine, image, prune=prune)


def _name_in(text: str, image: Image) -> Reference | None:
    """Return the image's name that ``text`` is, None when it is an id."""
    for name in image.names:
        if text in (name.familiar, str(name)):
            return name
        if name.tag == references.DEFAULT_TAG and text in (name.familiar_name, name.repository):
            return name
    return None


def _is_last(image: Image, named: Reference) -> bool:
    """Tell whether the image has no other name; digests of the same repository do not count."""
    return all(n == named or (n.digest and n.repository == named.repository) for n in image.names)


def _going_with(image: Image, named: Reference) -> tuple[Reference, ...]:
    """Return what goes when ``named`` does: with a repository's last tag also its digests."""
    if named.tag and not any(n.repository == named.repository for n in image.tags if n != named):
        return (named, *(n for n in image.repo_digests if n.repository == named.repository))
    return (named,)


def _check_id(image: Image, users: list[Record], *, force: bool) -> None:
    running = _running(users)
    if running:
        raise _used(image, "running", running[0], "cannot be forced")
    if force:
        return
    if len({n.repository for n in image.names}) > 1:
        raise Conflict(
            f"conflict: unable to delete {_short(image)} (must be forced) - image is referenced in"
            " multiple repositories"
        )
    if users:
        raise _used(image, "stopped", users[0], "must be forced")


def _used(image: Image, how: str, record: Record, must: str) -> Conflict:
    return Conflict(
        f"conflict: unable to delete {_short(image)} ({must}) - image is being used by {how}"
        f" container {record.short}"
    )


def _running(users: list[Record]) -> list[Record]:
    return [record for record in users if record.up]


def _untag(engine: Engine, image: Image, gone: tuple[Reference, ...]) -> None:
    for name in gone:
        engine.images.untag(name)
        engine.events.publish("image", "untag", image.id, {"name": image.id})


async def _forget(engine: Engine, image: Image, *, prune: bool) -> Removed:
    engine.images.forget(image)
    untagged = tuple(n.familiar for n in image.names)
    for _ in untagged:
        engine.events.publish("image", "untag", image.id, {"name": image.id})
    engine.events.publish("image", "delete", image.id, {"name": image.id})
    layers: tuple[Digest, ...] = ()
    if prune:
        await images.collect(engine)
        layers = tuple(d for d in reversed(image.layers) if not engine.layers.has(d))
    return Removed(untagged, (image.id, *layers))


def _short(image: Image) -> str:
    return image.id.partition(":")[2][:12]
