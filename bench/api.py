"""What is asked of an engine over its API: the same code for dockerd and for casemate.

Each function returns wall milliseconds by request. Connections are kept alive.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from bench.failure import Broken
from casemate.http.client import Client, Reply

_PIECE = 1 << 20


class Stopwatch:
    """Takes the time of one part after the other; ``parts`` in milliseconds."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._start = self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End the part ``name``, which began where the one before it ended."""
        now = time.perf_counter()
        self.parts[name] = (now - self._last) * 1e3
        self.parts["total"] = (now - self._start) * 1e3
        self._last = now

    def skip(self) -> None:
        """Leave out what was done since the last part ended."""
        now = time.perf_counter()
        self._start += now - self._last
        self._last = now


def run_true(client: Client, image: str, network: str, watch: Stopwatch | None = None) -> Stopwatch:
    """Create a container that runs ``true``, start it, wait for it and remove it."""
    request = {"Image": image, "Cmd": ["true"], "HostConfig": {"NetworkMode": network}}
    watch = watch or Stopwatch()
    id_ = client.post("/containers/create", request)["Id"]
    watch.lap("create")
    client.post(f"/containers/{id_}/start")
    watch.lap("start")
    code = client.post(f"/containers/{id_}/wait")["StatusCode"]
    watch.lap("wait")
    client.call("DELETE", f"/containers/{id_}")
    watch.lap("remove")
    if code != 0:
        raise Broken(f"true ended with status {code}")
    return watch


def start_sleeper(client: Client, image: str, network: str = "none") -> str:
    """Start a container that sleeps and return its id.

    KILL stops it: a process 1 without a handler hears no other signal, and what is measured is not
    how long an engine waits for that.
    """
    request = {
        "Image": image,
        "Cmd": ["sleep", "1000000"],
        "StopSignal": "SIGKILL",
        "HostConfig": {"NetworkMode": network},
    }
    id_: str = client.post("/containers/create", request)["Id"]
    client.post(f"/containers/{id_}/start")
    return id_


def stop(client: Client, container: str) -> None:
    """Stop a container."""
    client.post(f"/containers/{container}/stop")


def containers(client: Client, *, ended: bool = True) -> list[str]:
    """Return the ids of all containers, or of those that run."""
    return [found["Id"] for found in client.get(f"/containers/json?all={int(ended)}")]


def execute_true(client: Client, container: str) -> Stopwatch:
    """Run ``true`` in a running container, until the stream of its output ends."""
    request = {"AttachStdout": True, "AttachStderr": True, "Cmd": ["true"]}
    watch = Stopwatch()
    id_ = client.post(f"/containers/{container}/exec", request)["Id"]
    watch.lap("create")
    stream, said, _ = client.hijack(f"/exec/{id_}/start", {"Detach": False, "Tty": False})
    with contextlib.closing(stream):
        while piece := stream.recv(1 << 16):
            said += piece
    watch.lap("stream")
    found = client.get(f"/exec/{id_}/json")
    if said or found["ExitCode"] != 0:
        raise Broken(f"true said {said!r} and ended with status {found['ExitCode']}")
    return watch


def remove(client: Client, container: str) -> None:
    """Remove a container, running or not."""
    client.call("DELETE", f"/containers/{container}?force=1")


def import_root(client: Client, path: str, repository: str, changes: Sequence[str]) -> None:
    """Make the image ``repository``:latest of the root in the tar ``path``."""
    query = "".join(f"&changes={quote(change)}" for change in changes)
    target = f"/images/create?fromSrc=-&repo={quote(repository, safe='')}&tag=latest{query}"
    with client.request("POST", target, _pieces(path), {"Content-Type": "application/x-tar"}) as r:
        _check(r)


def pull(client: Client, repository: str, tag: str) -> None:
    """Pull an image."""
    target = f"/images/create?fromImage={quote(repository, safe='')}&tag={tag}"
    with client.request("POST", target) as reply:
        _check(reply)


def push(client: Client, repository: str, tag: str) -> None:
    """Push an image."""
    nobody = base64.urlsafe_b64encode(b"{}").decode()
    target = f"/images/{repository}/push?tag={tag}"
    with client.request("POST", target, None, {"X-Registry-Auth": nobody}) as reply:
        _check(reply)


def tag(client: Client, image: str, repository: str, name: str) -> None:
    """Give an image one more name."""
    client.post(f"/images/{image}/tag?repo={quote(repository, safe='')}&tag={name}")


def load(client: Client, path: str) -> None:
    """Load the archive ``path``."""
    headers = {"Content-Type": "application/x-tar"}
    with client.request("POST", "/images/load", _pieces(path), headers) as reply:
        _check(reply)


def save(client: Client, image: str, path: str) -> None:
    """Write the archive of ``image`` to ``path``."""
    with client.request("GET", f"/images/{image}/get") as reply, open(path, "xb") as file:
        for piece in reply.chunks():
            file.write(piece)


def remove_image(client: Client, image: str) -> None:
    """Remove an image and whatever nothing else needs."""
    client.call("DELETE", f"/images/{image}?force=1")


def has_image(client: Client, image: str) -> bool:
    """Tell whether there is an image of that name."""
    return any(image in (found["RepoTags"] or ()) for found in client.get("/images/json"))


def _check(reply: Reply) -> None:
    """Read a stream of progress to its end. Raises Broken for an error in it."""
    for line in reply.lines():
        said = json.loads(line)
        if "error" in said:
            raise Broken(said["error"])


def _pieces(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            yield piece
