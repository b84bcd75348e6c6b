"""docker-registry on the lab's loopback."""

from __future__ import annotations

import json
import os
import shutil
import socket

from bench.daemon import disk_usage
from bench.failure import Missing
from bench.keeper import Keeper

PORT = 5000
HOST = f"127.0.0.1:{PORT}"


class Registry:
    """One registry at a time, always at the same address."""

    def __init__(self, directory: str) -> None:
        """Raises Missing."""
        if not shutil.which("docker-registry"):
            raise Missing("docker-registry is not installed")
        self._directory = directory
        self._keeper = Keeper(directory, "registry")
        self._pid = 0
        self.version = self._version()

    def open(self, name: str) -> None:
        """Serve what is stored under ``name``, which is empty at first."""
        self.shut()
        config = f"{self._directory}/registry.json"
        with open(config, "w", encoding="utf-8") as file:
            json.dump(_config(self._storage(name)), file)  # JSON is YAML
        self._pid = self._keeper.start(["docker-registry", "serve", config])
        self._keeper.wait_until(self._pid, _listens, timeout_s=30)

    def shut(self) -> None:
        """Serve nothing."""
        if self._pid:
            self._keeper.end(self._pid)
            self._pid = 0

    def forget(self, name: str) -> None:
        """Remove what is stored under ``name``."""
        shutil.rmtree(self._storage(name), ignore_errors=True)

    def stored_bytes(self, name: str) -> int:
        """Return how much is stored under ``name``."""
        return disk_usage(self._storage(name))

    def close(self) -> None:
        """End it."""
        self._keeper.close()

    def _storage(self, name: str) -> str:
        return os.path.join(self._directory, f"registry-{name}")

    def _version(self) -> str:
        return self._keeper.run(["docker-registry", "--version"]).output.strip()


def _config(storage: str) -> object:
    return {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": storage}},
        "http": {"addr": HOST},
    }


def _listens() -> bool:
    try:
        socket.create_connection(("127.0.0.1", PORT)).close()
    except ConnectionRefusedError:
        return False
    return True
