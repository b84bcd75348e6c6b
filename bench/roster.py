"""Everybody who is measured, started when a scenario first asks for them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from bench import api, docker, engine, floor, images, podman, runtimes
from bench.daemon import Daemon
from bench.failure import Broken, Missing
from bench.floor import Floor
from bench.podman import Podman
from bench.registry import Registry
from bench.runtimes import Runtime
from casemate.errors import Error

_Peer = TypeVar("_Peer")
OURS = "casemate"
COLD = "casemate cold"
WARM_ROOMS = 2


class Roster:
    """Peers by name. A method raises Missing, at every call, when its peer is not to be had."""

    def __init__(self, work: str, directory: str) -> None:
        """Everything is below ``directory``; ``work`` is what is kept from run to run."""
        self.directory = directory
        self._work = work
        self._ends = contextlib.ExitStack()
        self.versions: dict[str, str] = {}
        self.missing: dict[str, str] = {}

    def __enter__(self) -> Roster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.close()

    def known(self, name: str, make: Callable[[], _Peer]) -> _Peer | None:
        """Return what ``make`` returns; None when it is missing, which is then remembered."""
        if name in self.missing:
            return None
        try:
            return make()
        except (Missing, Broken, Error) as error:
            self.missing[name] = str(error).strip()
            return None

    @functools.cached_property
    def busybox(self) -> str:
        """The archive of the small image."""
        path = f"{self.directory}/busybox.tar"
        images.write_busybox(path)
        return path

    @property
    def debian(self) -> str:
        """The archive of the large image."""
        return images.debian(self._work)

    @functools.cached_property
    def root(self) -> str:
        """The small image as a directory."""
        path = f"{self.directory}/busybox"
        runtimes.unpack(self.busybox, path)
        return path

    @functools.cached_property
    def ours(self) -> Daemon:
        """Our engine with rooms ready."""
        return self._daemon(engine.start(self.directory, OURS, WARM_ROOMS))

    @functools.cached_property
    def cold(self) -> Daemon:
        """Our engine without."""
        return self._daemon(engine.start(self.directory, COLD, 0))

    @functools.cached_property
    def dockerd(self) -> Daemon:
        """dockerd."""
        return self._daemon(docker.start(self.directory))

    @functools.cached_property
    def podman(self) -> Podman:
        """podman."""
        peer = podman.start(self.directory, self.busybox)
        self._ends.callback(peer.keeper.close)
        self.versions["podman"] = peer.version
        return peer

    @functools.cached_property
    def runc(self) -> Runtime:
        """runc."""
        return self._runtime("runc")

    @functools.cached_property
    def crun(self) -> Runtime:
        """crun."""
        return self._runtime("crun")

    @functools.cached_property
    def floor(self) -> Floor:
        """The floor."""
        made = floor.start(self.directory, self.root)
        self._ends.callback(made.keeper.close)
        return made

    @functools.cached_property
    def registry(self) -> Registry:
        """The registry; nothing is served before it is opened."""
        made = Registry(self.directory)
        self._ends.callback(made.close)
        self.versions["docker-registry"] = made.version
        return made

    def _daemon(self, daemon: Daemon) -> Daemon:
        self._ends.callback(daemon.keeper.close)
        self._ends.callback(daemon.keeper.end, daemon.pid)
        self.versions[daemon.name] = daemon.version
        api.import_root(daemon.client, self.busybox, images.BUSYBOX, ['CMD ["sh"]'])
        return daemon

    def _runtime(self, name: str) -> Runtime:
        made = runtimes.start(self.directory, name, self.root)
        self._ends.callback(made.keeper.close)
        self.versions[name] = made.version
        return made
