"""The composition root: what an engine is made of, and how long it serves.

This is the one place that names implementations. The daemon serves an engine in a process of its
own, ``hosting`` in the caller's.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import NamedTuple

from casemate.api.app import App
from casemate.content.store import ContentStore
from casemate.database import Database
from casemate.engine import naming, recover, unhealthy
from casemate.engine.bundle import default_plan
from casemate.engine.clock import now_ns
from casemate.engine.engine import Engine, Settings
from casemate.engine.networking import Networking
from casemate.engine.paths import Paths
from casemate.engine.rooms import Rooms
from casemate.engine.threads import start_shared
from casemate.errors import Conflict, InvalidArgument, PermissionDenied, Unsupported
from casemate.http.server import Server
from casemate.image.store import ImageStore
from casemate.layer.store import LayerStore
from casemate.linux.cgroups import layout
from casemate.linux.cgroups.hierarchies import Hierarchies
from casemate.network.store import Store
from casemate.registry import config as registry_config
from casemate.registry import proxy
from casemate.registry.config import RegistryConfig
from casemate.runtime.namespaces.cgroup import CgroupView
from casemate.runtime.namespaces.container import Host
from casemate.snapshot import probe
from casemate.snapshot.contract import Lowers
from casemate.snapshot.directories import DirectoryLowers
from casemate.snapshot.erofs import ErofsLowers
from casemate.snapshot.snapshots import Snapshotter
from casemate.supervise.program import Program
from casemate.volume.store import Volumes
from casemate.walls import machine as machines
from casemate.walls import profiles

DEFAULT_ROOT = "/var/lib/casemate"
DEFAULT_RUN = "/run/casemate"
SNAPSHOTTERS = ("auto", "erofs", "directories")
#: Files that are mounted into containers are for every user in them.
UMASK = 0o022
_OVERLAY_LAYERS = (6, 7)


class Setup(NamedTuple):
    """What whoever starts an engine decides; ``group`` may use the socket unless it is -1."""

    settings: Settings
    snapshotter: str = "auto"
    group: int = -1


class Serving(NamedTuple):
    """An engine that serves, and its server."""

    engine: Engine
    server: Server


def settings_of(
    paths: Paths,
    environ: Mapping[str, str],
    *,
    config: str = "",
    idle_s: float = 0,
    warm_rooms: int = 2,
) -> Settings:
    """Return the settings of an engine at ``paths``; ``config`` is by default ROOT/casemate.toml.

    Raises InvalidArgument for a file that is not understood.
    """
    return Settings(
        paths=paths,
        name=instance_name(paths),
        warm_rooms=warm_rooms,
        idle_s=idle_s,
        registry=_registry(config or f"{paths.root}/casemate.toml", environ, bool(config)),
    )


def instance_name(paths: Paths) -> str:
    """Return what this engine calls its bridge, tables and cgroups; another root, another name."""
    if paths.root == DEFAULT_ROOT:
        return "casemate"
    return f"casemate-{hashlib.sha256(paths.root.encode()).hexdigest()[:4]}"


def _registry(path: str, environ: Mapping[str, str], required: bool) -> RegistryConfig:
    """Return how registries are reached: by the settings, and by the environment's proxies."""
    settings = _settings(path, required).get("registry", {})
    if not isinstance(settings, dict):
        raise InvalidArgument(f"{path}: registry must be a table")
    return registry_config.parse(settings, proxies=proxy.from_environment(environ))


def _settings(path: str, required: bool) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            table: dict[str, object] = tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise InvalidArgument(f"cannot read the settings {path}: no such file") from None
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgument(f"cannot read the settings {path}: {error}") from error
    unknown = set(table) - {"registry"}
    if unknown:
        raise InvalidArgument(f"{path}: unknown table {sorted(unknown)[0]!r}")
    return table


@contextlib.asynccontextmanager
async def serving(setup: Setup) -> AsyncIterator[Serving]:
    """Have an engine put in order what was left, and serve at its socket; then have it leave.

    Containers go on under their shims. The caller holds ``only_one``. Raises Error.
    """
    start_shared()
    engine = compose(setup)
    server = Server(App(engine))
    try:
        await recover.recover(engine)
        mode = 0o660 if setup.group >= 0 else 0o600
        await server.listen_unix(engine.paths.socket, mode, setup.group)
        yield Serving(engine, server)
    finally:
        server.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(engine.paths.socket)
        await engine.close()


def compose(setup: Setup) -> Engine:
    """Make an engine of its parts. Needs a running event loop. Raises Error."""
    settings = setup.settings
    paths = settings.paths
    paths.make()
    machine = machines.read()
    database = Database(paths.database)
    content, layers = ContentStore(f"{paths.root}/content"), LayerStore(paths.root)
    lowers, reason = choose_lowers(setup.snapshotter, paths)
    hierarchies = Hierarchies(layout.detect())
    host = Host(
        root_place=paths.room,
        overlay_layers=machine.kernel >= _OVERLAY_LAYERS,
        cgroups=cgroup_view(hierarchies),
        default_devices=profiles.CONTAINER.devices,
    )
    program = Program()
    engine = Engine(
        settings,
        database,
        machine=machine,
        host=host,
        hierarchies=hierarchies,
        images=ImageStore(database, content, layers),
        snapshots=Snapshotter(paths.root, layers, lowers),
        networking=Networking(Store(database), settings.name),
        volumes=Volumes(database, paths.volumes, now_ns),
        program=program,
    )
    engine.unhealthy = unhealthy.act
    engine.names.on_lost = lambda: engine.background(naming.recover(engine))
    engine.snapshotter_reason = reason
    engine.rooms = Rooms(
        program, hierarchies, settings.name, default_plan(engine), settings.warm_rooms
    )
    return engine


def choose_lowers(asked: str, paths: Paths) -> tuple[Lowers, str]:
    """Return how layers become directories, and why so. Raises Unsupported when nothing can."""
    why_not = None
    if asked != "directories":
        why_not = _remembered(f"{paths.run}/erofs-{os.uname().release}", paths.root)
        if not why_not:
            return ErofsLowers(paths.run), "this kernel mounts archives"
        if asked == "erofs":
            raise Unsupported(f"cannot mount layers where they are: {why_not}")
    reason = f"this kernel cannot mount archives: {why_not}" if why_not else "as configured"
    return DirectoryLowers(paths.root), reason


def _remembered(path: str, root: str) -> str | None:
    """Return why layers cannot be mounted; tried once for each boot and kernel."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read() or None
    except FileNotFoundError:
        verdict = probe.why_not_erofs(root)
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(verdict or "")
        os.replace(f"{path}.new", path)
        return verdict


def cgroup_view(hierarchies: Hierarchies) -> CgroupView:
    """Return how cgroups are shown inside containers."""
    first = [h.hierarchy for h in hierarchies.held if h.hierarchy.version == 1]
    if not first:
        return CgroupView(unified=True)
    return CgroupView(hierarchies=tuple((os.path.basename(h.mount), h.selection) for h in first))


@contextlib.contextmanager
def only_one(paths: Paths) -> Iterator[bool]:
    """Hold the engine's locks; gives False when another engine serves the same run directory.

    Raises Conflict when one has the data root but another run directory, PermissionDenied for who
    is not root.
    """
    if os.geteuid():
        raise PermissionDenied("an engine needs root: it makes namespaces, mounts and cgroups")
    with contextlib.ExitStack() as held:
        run = _locked(held, paths.run, paths.lock)
        if run is None:
            yield False
            return
        if _locked(held, paths.root, paths.root_lock) is None:
            raise Conflict(f"cannot use {paths.root}: another engine has it")
        os.ftruncate(run, 0)
        os.write(run, f"{os.getpid()}\n".encode())
        yield True


def _locked(held: contextlib.ExitStack, directory: str, path: str) -> int | None:
    """Return the locked file ``path`` in ``directory``, None when another process has locked it."""
    os.makedirs(directory, 0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    held.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return descriptor
