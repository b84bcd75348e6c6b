"""Files in and out of a container through the API, as archives."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from typing import Any
from urllib.parse import quote

from support.engine import RunningEngine

STAT = "x-docker-container-path-stat"


def put(engine: RunningEngine, id_: str, archive: bytes, path: str = "/", **query: int) -> None:
    """Unpack an archive in a container."""
    more = "".join(f"&{name}={value}" for name, value in query.items())
    target = f"/containers/{id_}/archive?path={quote(path)}{more}"
    with engine.client.request("PUT", target, archive) as reply:
        assert reply.read() == b""


def raw(engine: RunningEngine, id_: str, path: str) -> bytes:
    """Return the archive of a path."""
    with engine.client.request("GET", f"/containers/{id_}/archive?path={quote(path)}") as reply:
        told = told_of(reply.headers)
        data = reply.read()
    assert told["name"]
    return data


def got(engine: RunningEngine, id_: str, path: str) -> dict[str, tarfile.TarInfo]:
    """Return the entries of the archive of a path by name."""
    with tarfile.open(fileobj=io.BytesIO(raw(engine, id_, path))) as archive:
        return {info.name: info for info in archive}


def content(engine: RunningEngine, id_: str, path: str) -> bytes:
    """Return the content of one file."""
    with tarfile.open(fileobj=io.BytesIO(raw(engine, id_, path))) as archive:
        (info,) = archive
        file = archive.extractfile(info)
        assert file
        return file.read()


def look(engine: RunningEngine, id_: str, path: str) -> dict[str, Any]:
    """Return what HEAD tells of a path."""
    with engine.client.request("HEAD", f"/containers/{id_}/archive?path={quote(path)}") as reply:
        reply.read()
        return told_of(reply.headers)


def told_of(headers: Any) -> dict[str, Any]:
    """Return what the header of an answer tells of a path."""
    told: dict[str, Any] = json.loads(base64.b64decode(headers[STAT]))
    return told
