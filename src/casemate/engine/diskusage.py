"""What is used on disk and by what: the parts add up to what the file system says.

Source: Docker Engine API v1.47, SystemDataUsageResponse; ``Accounting`` is our own.
"""

from __future__ import annotations

import os
from typing import Any

from casemate.engine import images, inspect
from casemate.engine.engine import Engine
from casemate.engine.threads import in_thread


async def usage(engine: Engine) -> dict[str, Any]:
    """Return images and containers with their sizes, and where every byte below the root is."""
    return await in_thread(lambda: _usage(engine))


def _usage(engine: Engine) -> dict[str, Any]:
    records = engine.records.all()
    used = {r.fixed.image for r in records}
    stored = engine.images.all()
    sharing: dict[str, int] = {}
    for image in stored:
        for diff_id in set(image.layers):
            sharing[diff_id] = sharing.get(diff_id, 0) + 1
    layers_size = sum(engine.layers.usage(d) for d in engine.layers.walk())
    return {
        "LayersSize": layers_size,
        "Images": [
            {
                "Id": image.id,
                "ParentId": "",
                "RepoTags": [n.familiar for n in image.tags],
                "RepoDigests": [n.familiar for n in image.repo_digests],
                "Created": image.stored_ns // 1_000_000_000,
                "Size": images.size(engine, image),
                "SharedSize": sum(
                    engine.layers.get(d).size_bytes for d in image.layers if sharing[d] > 1
                ),
                "Labels": image.config.config.labels or None,
                "Containers": sum(r.fixed.image == image.id for r in records)
                if image.id in used
                else 0,
            }
            for image in stored
        ],
        "Containers": [
            inspect.line(engine, record) | inspect.sizes(engine, record) for record in records
        ],
        "Volumes": [],
        "BuildCache": [],
        "BuilderSize": 0,
        "Accounting": _accounting(engine),
    }


def _accounting(engine: Engine) -> dict[str, int]:
    """Return the bytes on disk of each part of the data root, and of all of it."""
    root = engine.paths.root
    parts = {
        "Layers": allocated(f"{root}/layers"),
        "Blobs": allocated(f"{root}/content"),
        "Unpacked": allocated(f"{root}/unpacked"),
        "WritableLayers": allocated(f"{root}/snapshots"),
        "MountPoints": allocated(f"{root}/stubs"),
        "Containers": allocated(f"{root}/containers"),
        "Removed": allocated(engine.paths.trash),
        "Database": sum(
            _blocks(f"{engine.paths.database}{suffix}") for suffix in ("", "-wal", "-shm")
        ),
    }
    total = allocated(root)
    # The directories themselves, settings, and what was written since the parts were counted.
    return {**parts, "Other": total - sum(parts.values()), "Total": total}


def allocated(path: str) -> int:
    """Return the bytes that the tree at ``path`` takes on disk, each file once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    pending = [path]
    while pending:
        directory = pending.pop()
        try:
            found = os.lstat(directory)
            total += found.st_blocks * 512
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if (found.st_dev, found.st_ino) not in seen:
                        seen.add((found.st_dev, found.st_ino))
                        total += found.st_blocks * 512
        except FileNotFoundError:
            continue  # gone meanwhile
    return total


def _blocks(path: str) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0
