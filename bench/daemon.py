"""An engine that serves the Docker Engine API, whoever made it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from bench.failure import Broken
from bench.keeper import Keeper
from casemate.errors import Error
from casemate.http.client import Client

#: The small image and what an engine keeps beside it; the large one has ten times as much.
_EMPTY_BYTES = 16 << 20


class Daemon(NamedTuple):
    """A running engine.

    ``command`` is how its command line program is called, ``stores`` are the directories in which
    it keeps blobs and layers.
    """

    name: str
    version: str
    client: Client
    keeper: Keeper
    pid: int
    command: tuple[str, ...]
    stores: tuple[str, ...]

    def stored_bytes(self) -> int:
        """Return how much the stores hold on disk."""
        return sum(disk_usage(path) for path in self.stores)


def serve(keeper: Keeper, arguments: Sequence[str], socket: str) -> tuple[int, Client]:
    """Start an engine and return its pid and a client, once it answers. Raises Broken."""
    client = Client(f"unix://{socket}")
    pid = keeper.start(arguments)
    keeper.wait_until(pid, lambda: answers(client), timeout_s=60)
    return pid, client


def answers(client: Client) -> bool:
    """Tell whether the engine answers."""
    try:
        with client.request("GET", "/_ping") as reply:
            return reply.read() == b"OK"
    except Error:
        return False


def version(client: Client) -> str:
    """Return the engine's own version, with the versions of its parts that it tells."""
    said = client.get("/version")
    parts = [f"{c['Name']} {c['Version']}" for c in said.get("Components") or ()]
    return ", ".join(parts[1:] and parts) or str(said["Version"])


def disk_usage(path: str) -> int:
    """Return the bytes on disk below ``path``; 0 when there is nothing."""
    total = 0
    for directory, names, files in os.walk(path):
        for name in (*names, *files):
            try:
                total += os.lstat(f"{directory}/{name}").st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def check_empty(daemon: Daemon) -> None:
    """Raise Broken when the stores hold more than the small image."""
    stored = daemon.stored_bytes()
    if stored > _EMPTY_BYTES:
        raise Broken(f"{daemon.name}: {stored} bytes are left in {', '.join(daemon.stores)}")
