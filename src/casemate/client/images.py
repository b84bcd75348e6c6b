"""The images of an engine."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from casemate.client import values
from casemate.client.connections import Connections
from casemate.client.target import path_of
from casemate.errors import DataLoss, Unavailable

_PIECE = 1 << 20


class Image(NamedTuple):
    """An image: its id, its names, its size, and all that the engine tells of it."""

    id: str
    tags: tuple[str, ...]
    size_bytes: int
    attributes: Mapping[str, Any]


class Images:
    """The images of an engine. Every method raises the Error of the engine."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def list(self) -> list[Image]:
        """Return all images."""
        return [_image(found) for found in self._connections.call("GET", "/images/json")]

    def get(self, name: str) -> Image:
        """Return an image by its name or id. Raises NotFound."""
        return _image(self._connections.call("GET", path_of("images", name, "json")))

    def pull(self, name: str, *, platform: str = "", auth: tuple[str, str] | None = None) -> Image:
        """Pull an image; ``name`` without tag is ``latest``; ``auth`` is a user and a password.

        Raises the Error of the engine or the registry.
        """
        query = path_of("images", "create", fromImage=tagged(name), platform=platform)
        headers = {}
        if auth:
            document = json.dumps({"username": auth[0], "password": auth[1]}).encode()
            headers["X-Registry-Auth"] = base64.urlsafe_b64encode(document).decode()
        self._work(query, None, headers)
        return self.get(name)

    def import_tar(self, archive: bytes | Iterable[bytes], name: str, *changes: str) -> Image:
        """Make an image of the tar of a root; ``changes`` are lines like ``CMD ["sh"]``."""
        query = path_of("images", "create", fromSrc="-", repo=name, changes=list(changes))
        self._work(query, archive)
        return self.get(name)

    def load(self, archive: bytes | Iterable[bytes] | os.PathLike[str]) -> str:
        """Load what ``save`` wrote, here or elsewhere; returns what the engine says about it."""
        body = _pieces(archive) if isinstance(archive, os.PathLike) else archive
        return "".join(str(line.get("stream", "")) for line in self._work("/images/load", body))

    def save(self, *names: str) -> Iterator[bytes]:
        """Yield the archive of images."""
        query = path_of("images", "get", names=values.texts("names", names))
        with self._connections.send("GET", query) as reply:
            yield from reply.chunks()

    def tag(self, name: str, new: str) -> None:
        """Give an image another name."""
        repository, _, tag = tagged(new).rpartition(":")
        query = path_of("images", name, "tag", repo=repository, tag=tag)
        self._connections.call("POST", query)

    def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a name, and the image with its last one."""
        query = path_of("images", name, force="1" if force else "")
        self._connections.call("DELETE", query)

    def _work(
        self,
        path: str,
        body: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str] = {},
    ) -> Sequence[dict[str, Any]]:
        """POST and return what was told meanwhile. Raises what went wrong behind the first word."""
        told = []
        with self._connections.send("POST", path, body, headers) as reply:
            for line in reply.lines():
                try:
                    told.append(json.loads(line))
                except ValueError:
                    raise DataLoss(f"the engine's answer to POST {path} is not JSON") from None
        for document in told:
            if "error" in document:
                detail = document.get("errorDetail") or {}
                raise Unavailable(str(document["error"]), hint=detail.get("hint"))
        return told


def tagged(name: str) -> str:
    """Return a name with its tag or digest: ``latest`` when it has none."""
    last = values.text("name", name).rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"


def _image(found: Mapping[str, Any]) -> Image:
    return Image(found["Id"], tuple(found.get("RepoTags") or ()), int(found["Size"]), found)


def _pieces(path: os.PathLike[str]) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise Unavailable(f"cannot read {os.fspath(path)}: {error.strerror}") from error
