"""What images and containers take. Source: Docker Engine API v1.47, SystemDataUsageResponse.

``Accounting`` is our own.
"""

from __future__ import annotations

from typing import Any

from casemate.api.documents import container, volume
from casemate.engine import images
from casemate.engine.diskusage import accounting
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
            container.line(engine, record) | container.sizes(engine, record) for record in records
        ],
        "Volumes": [volume.with_usage(engine, v) for v in engine.volumes.all()],
        "BuildCache": [],
        "BuilderSize": 0,
        "Accounting": accounting(engine),
    }
