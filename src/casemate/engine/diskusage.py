"""What is used on disk and by what: the parts add up to what the file system says."""

from __future__ import annotations

import os

from casemate.engine.engine import Engine


def accounting(engine: Engine) -> dict[str, int]:
    """Return the bytes on disk of each part of the data root, and of all of it."""
    root = engine.paths.root
    parts = {
        "Layers": allocated(f"{root}/layers"),
        "Blobs": allocated(f"{root}/content"),
        "Unpacked": allocated(f"{root}/unpacked"),
        "WritableLayers": allocated(f"{root}/snapshots"),
        "MountPoints": allocated(f"{root}/stubs"),
        "Containers": allocated(f"{root}/containers"),
        "Volumes": allocated(engine.paths.volumes),
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
