"""What is in the root of a container."""

from __future__ import annotations

import io
import tarfile

from support.engine import RunningEngine


def exported(engine: RunningEngine, id_: str) -> dict[str, bytes | str]:
    """Return the files of a container's root, links as their target."""
    with engine.client.request("GET", f"/containers/{id_}/export") as reply:
        archive = tarfile.open(fileobj=io.BytesIO(reply.read()))
    found: dict[str, bytes | str] = {}
    for entry in archive:
        if entry.isfile():
            file = archive.extractfile(entry)
            assert file
            found[entry.name.removeprefix("./")] = file.read()
        elif entry.issym():
            found[entry.name.removeprefix("./")] = entry.linkname
    return found
