"""New images out of layers: import of a root tar, commit of a container's changes, and hello."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from casemate.errors import InvalidArgument
from casemate.image.store import Image, ImageStore
from casemate.layer import subtree
from casemate.oci import image as configs
from casemate.oci.image import History, ImageConfig, RootFS, RunConfig
from casemate.oci.manifest import MAX_LAYERS
from casemate.oci.platform import Platform
from casemate.oci.reference import Reference

_IMPORTED = "the imported archive"


class Origin(NamedTuple):
    """Who made an image, when, and how. ``created`` is RFC 3339, ``now_ns`` the same instant."""

    created: str
    now_ns: int
    author: str = ""
    comment: str = ""
    created_by: str = ""


def import_root(
    store: ImageStore,
    chunks: Iterable[bytes],
    *,
    platform: Platform,
    run: RunConfig,
    name: Reference | None,
    origin: Origin,
    directory: str = "",
) -> Image:
    """Make an image of one layer from the root tar in ``chunks``, compressed or not.

    The root is all of it, or what is below ``directory``.
    """
    pieces = subtree.below(chunks, directory, _IMPORTED) if directory else chunks
    with store.content.lease() as lease:
        layer = store.layers.ingest(pieces, what=_IMPORTED, protect=lease.add)
        history = _history(origin)
        config = ImageConfig(
            architecture=platform.architecture,
            os=platform.os,
            variant=platform.variant,
            rootfs=RootFS("layers", (layer.diff_id,)),
            created=origin.created,
            author=origin.author,
            config=run,
            history=(history,),
        )
        return store.add(
            configs.encode(config),
            names=[name] if name else [],
            stored_ns=origin.now_ns,
            lease=lease,
        )


def commit(
    store: ImageStore,
    parent: ImageConfig,
    changes: Iterable[bytes],
    run: RunConfig,
    *,
    name: Reference | None,
    origin: Origin,
) -> Image:
    """Make a child of ``parent``: its layers and one more, the tar in ``changes``."""
    if len(parent.rootfs.diff_ids) >= MAX_LAYERS:
        raise InvalidArgument(f"cannot commit: the image has {MAX_LAYERS} layers already")
    with store.content.lease() as lease:
        layer = store.layers.ingest(changes, what="the container's changes", protect=lease.add)
        config = msgspec.structs.replace(
            parent,
            created=origin.created,
            author=origin.author or parent.author,
            config=run,
            rootfs=RootFS("layers", (*parent.rootfs.diff_ids, layer.diff_id)),
            history=(*parent.history, _history(origin)),
        )
        return store.add(
            configs.encode(config),
            names=[name] if name else [],
            stored_ns=origin.now_ns,
            lease=lease,
        )


def hello(store: ImageStore, program: str, *, platform: Platform, name: Reference) -> Image:
    """Make the image that comes with casemate from the static ``program``.

    It has no time in it, so it is the same image wherever the same program is.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("hello")
        info.size = os.path.getsize(program)
        info.mode = 0o755
        with open(program, "rb") as file:
            archive.addfile(info, file)
    return import_root(
        store,
        [buffer.getvalue()],
        platform=platform,
        run=RunConfig(cmd=("/hello",), labels={"org.opencontainers.image.title": "hello"}),
        name=name,
        origin=Origin("1970-01-01T00:00:00Z", 0, created_by="casemate hello"),
    )


def _history(origin: Origin) -> History:
    return History(
        created=origin.created,
        author=origin.author,
        created_by=origin.created_by,
        comment=origin.comment,
    )
