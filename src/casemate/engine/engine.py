"""The engine: its stores, its networks, its rooms, and the containers that live.

Only what the use cases share is here; each use case is a module of its own that takes the engine.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, NamedTuple, TypeVar

from casemate.content.store import ContentStore
from casemate.database import Database
from casemate.engine import policy, systems
from casemate.engine.durability import Durability
from casemate.engine.events import Events
from casemate.engine.groups.records import Groups
from casemate.engine.kept import Kept
from casemate.engine.live import Live
from casemate.engine.nameserver import NameServer
from casemate.engine.networking import Networking
from casemate.engine.parentpaths import ParentPaths
from casemate.engine.paths import Paths
from casemate.engine.records import Record, Records, Status
from casemate.engine.rooms import Rooms
from casemate.engine.rootfs import Users
from casemate.engine.sampling import Sampling
from casemate.engine.usage import Processors
from casemate.engine.watching import Watching
from casemate.errors import NotFound
from casemate.image.store import ImageStore
from casemate.layer.scratch import Trash
from casemate.layer.store import LayerStore
from casemate.linux.cgroups import cgroup as cgroups
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.linux.cgroups.hierarchies import Hierarchies
from casemate.oci.runtime import Seccomp
from casemate.registry.config import RegistryConfig
from casemate.runtime.likeness import Likeness
from casemate.runtime.namespaces.container import Host
from casemate.snapshot.mounts import RootMount
from casemate.snapshot.snapshots import Snapshotter
from casemate.snapshot.stubs import Stubs
from casemate.supervise.program import Program
from casemate.volume.store import Volumes
from casemate.walls import seccomp_filter
from casemate.walls.machine import Machine
from casemate.walls.seccomp_filter import Filter

T = TypeVar("T")

_FILTERS = 64
_LIKENESSES = 64
#: Containers that are started at the same time without anybody's asking.
_RESTARTS = 8


class Settings(NamedTuple):
    """What whoever starts an engine decides. ``idle_s`` 0 stays for ever."""

    paths: Paths
    name: str = "casemate"
    warm_rooms: int = 2
    idle_s: float = 0
    registry: RegistryConfig = RegistryConfig()


class Engine:
    """What the use cases work with. Made by the composition root (composition.py)."""

    # Set by the composition root as well: they need an engine.
    rooms: Rooms
    #: Does what is to follow when a container is found unhealthy.
    unhealthy: Callable[[Engine, Record], Coroutine[None, None, None]]

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        machine: Machine,
        host: Host,
        hierarchies: Hierarchies,
        images: ImageStore,
        snapshots: Snapshotter,
        networking: Networking,
        volumes: Volumes,
        program: Program,
    ) -> None:
        self.settings = settings
        self.database = database
        self.machine = machine
        self.host = host
        self.hierarchies = hierarchies
        self.images = images
        self.snapshots = snapshots
        self.networking = networking
        self.volumes = volumes
        self.names = NameServer(f"{settings.paths.run}/names.sock")
        self.program = program
        self.records = Records(database)
        self.groups = Groups(database, settings.name)
        self.parents = ParentPaths(database)
        #: Held by whoever makes, changes or removes a group.
        self.grouping = asyncio.Lock()
        self.durability = Durability(database)
        self.trash = Trash(settings.paths.trash)
        self.stubs = Stubs(f"{settings.paths.root}/stubs", new_api=host.overlay_layers)
        self.users = Users(host.root_place, new_api=host.overlay_layers)
        self.events = Events()
        self.watching = Watching()
        self.sampling = Sampling()
        self.processors = Processors()
        self.snapshotter_reason = ""
        #: Containers that are being created and not written down yet, by id.
        self.making: dict[str, Record] = {}
        #: Set when what the engine before left behind is put right.
        self.recovered = asyncio.Event()
        self.restarts = asyncio.Semaphore(_RESTARTS)
        self._live: dict[str, Live] = {}
        self._filters: Kept[str, Filter] = Kept(_FILTERS)
        #: What starts of containers that are alike have in common (likeness.py).
        self.likenesses: Kept[Hashable, Likeness] = Kept(_LIKENESSES)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def paths(self) -> Paths:
        """Where this engine keeps things."""
        return self.settings.paths

    @property
    def content(self) -> ContentStore:
        """The blobs."""
        return self.images.content

    @property
    def layers(self) -> LayerStore:
        """The layers."""
        return self.images.layers

    def cgroup(self, path: str) -> Cgroup:
        """Return the cgroup at ``path``, whether it is there or not."""
        return cgroups.at(self.hierarchies, path)

    def live(self, id_: str) -> Live:
        """Return the living side of the container ``id_``."""
        live = self._live.get(id_)
        if live is None:
            live = self._live[id_] = Live(id_)
        return live

    def status(self, record: Record) -> Status:
        """Return where the container is in its life; whoever removes it is to be seen."""
        live = self._live.get(record.id)
        return "removing" if live and live.removals else record.state.status

    def forget(self, id_: str) -> None:
        """Let go of the living side of a container that is removed."""
        self._live.pop(id_, None)

    def lives(self) -> list[Live]:
        """Return all living sides."""
        return list(self._live.values())

    def current(self, record: Record) -> Record:
        """Return the record as it is now. Raises NotFound when it was removed meanwhile."""
        found = self.records.get(record.id)
        if found is None:
            raise NotFound(f"No such container: {record.name}")
        return found

    def root(self, record: Record) -> RootMount:
        """Return what the root of the container is made of. Raises NotFound, DataLoss."""
        return self.stubs.under(self.snapshots.mounts(record.id), record.fixed.layers)

    def filter(self, seccomp: Seccomp | None) -> Filter | None:
        """Return the assembled filter of a seccomp profile; the last ones are remembered."""
        if seccomp is None:
            return None
        key = seccomp_filter.cache_key(seccomp, self.machine.architecture)
        build = functools.partial(seccomp_filter.build, seccomp, self.machine.architecture)
        return self._filters.get(key, build)

    @property
    def cgroups(self) -> set[str]:
        """The cgroups that are in use, or on their way in or out."""
        recorded = {record.state.cgroup for record in self.records.all()}
        living = {live.cgroup for live in self.lives()}
        return recorded | living | self.rooms.cgroups | self.groups.paths

    def owners(self) -> list[Record]:
        """Return all containers, with those that are being created: what they use stays."""
        # First those that are being created: they are written down before they leave this list.
        making = list(self.making.copy().values())
        return [*making, *self.records.all()]

    def background(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run ``work`` beside everything else; it handles its own errors."""
        return self._task(work)

    async def to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` and return what it does, even if who asked goes away in the middle of it."""
        task = self._task(work)
        task.add_done_callback(_seen)
        return await asyncio.shield(task)

    def _task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def busy(self) -> bool:
        """Something goes on that only this process sees to.

        A container that shall vanish or start again when it ends is waited for, and one whose
        health is checked; the others need no engine.
        """
        return any(live.lock.locked() or live.clients for live in self._live.values()) or any(
            record.state.status == "restarting" or (record.active and _needs_an_engine(record))
            for record in self.records.all()
        )

    async def close(self) -> None:
        """Let go of everything; containers go on under their shims."""
        await self.rooms.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        for live in self._live.values():
            live.drop_clients()
            if live.shim:
                live.shim.close()
        self.watching.close()
        self.sampling.close()
        self.networking.close()
        self.names.close()
        self.hierarchies.close()
        self.program.close()
        self.durability.close()
        self.database.close()

    def state_directory(self, id_: str) -> int:
        """Return a descriptor of the container's state directory."""
        return os.open(self.paths.container(id_), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _needs_an_engine(record: Record) -> bool:
    host = record.fixed.host
    is_checked = record.state.health is not None
    return (
        is_checked
        or host.auto_remove
        or policy.restarts(host.restart_policy)
        or systems.of(host) is not None
    )


def _seen(task: asyncio.Task[Any]) -> None:
    """Look at the task's error: nobody else may be there to do so."""
    if not task.cancelled():
        task.exception()
