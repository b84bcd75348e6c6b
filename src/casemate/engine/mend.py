"""After a loss of power: what was not on the disk yet is made again, where it is known.

A creation is answered when its record is durable; the directories of the new container are not
waited for. Nothing that was written into them and synced can be lost: who syncs a file has the
directories above it on the disk as well.
"""

from __future__ import annotations

import os

from casemate.engine import run
from casemate.engine.engine import Engine


def mend(engine: Engine) -> None:
    """Have the directories of containers and volumes whole again; no container runs."""
    with run.telling("the places for mounts"):
        engine.stubs.clear()
    for record in engine.records.all():
        with run.telling(f"what container {record.name} had on the disk"):
            os.makedirs(engine.paths.container(record.id), 0o700, exist_ok=True)
            engine.snapshots.restore(record.id, record.fixed.layers)
    for name in engine.volumes.missing():
        with run.telling(f"the directory of volume {name}"):
            engine.volumes.restore(name)
