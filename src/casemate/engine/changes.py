"""What a container has written over its image. Source: Docker Engine API v1.47, ContainerChanges.

Only the writable layer is looked at: what is mounted into the container is not part of it.
"""

from __future__ import annotations

from typing import Any

from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.layer import diff
from casemate.snapshot.below import Below

_KINDS = {"C": 0, "A": 1, "D": 2}


def changes(engine: Engine, record: Record) -> list[dict[str, Any]]:
    """Return every changed path with its kind (0 changed, 1 added, 2 deleted), in order of paths.

    Blocking. Raises NotFound for a container that is being removed.
    """
    root = engine.root(record)
    assert root.upper
    with Below(root) as below:
        found = sorted(
            (_shown(change.path), _KINDS[change.kind])
            for change in diff.changes(root.upper, below.has, f"container {record.name}")
        )
    return [{"Path": path, "Kind": kind} for path, kind in found]


def _shown(path: str) -> str:
    """Return ``path`` as JSON can hold it: bytes that are no UTF-8 become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
