"""A volume as the API describes it. Source: Docker Engine API v1.47, Volume."""

from __future__ import annotations

from typing import Any

from casemate.engine import volumes
from casemate.engine.clock import rfc3339
from casemate.engine.engine import Engine
from casemate.volume.model import Volume


def whole(engine: Engine, volume: Volume) -> dict[str, Any]:
    """Return the volume."""
    return {
        "CreatedAt": rfc3339(volume.created_ns),
        "Driver": "local",
        "Labels": volume.labels or None,
        "Mountpoint": engine.volumes.source(volume.name),
        "Name": volume.name,
        "Options": volume.options or None,
        "Scope": "local",
    }


def with_usage(engine: Engine, volume: Volume) -> dict[str, Any]:
    """Return the volume with who mounts it and its bytes on disk. Looks at every file."""
    usage = {
        "RefCount": len(volumes.users(engine, volume.name)),
        "Size": volumes.usage(engine, volume.name),
    }
    return {**whole(engine, volume), "UsageData": usage}
