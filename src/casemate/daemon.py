"""The engine's process: puts the rooms together, serves the API, leaves when nobody needs it.

This is the one place that names implementations. ``python -m casemate.daemon --help`` tells the
options.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import signal
import sys
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

from casemate.api.app import App
from casemate.content.store import ContentStore
from casemate.database import Database
from casemate.engine import recover
from casemate.engine.bundle import default_plan
from casemate.engine.engine import Engine, Settings
from casemate.engine.networking import Networking
from casemate.engine.paths import Paths
from casemate.engine.rooms import Rooms
from casemate.errors import Conflict, Error, InvalidArgument, Unsupported
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
from casemate.walls import machine as machines
from casemate.walls import profiles

DEFAULT_ROOT = "/var/lib/casemate"
DEFAULT_RUN = "/run/casemate"
_OVERLAY_LAYERS = (6, 7)
_CHECK_IDLE_S = 5.0


class Options(NamedTuple):
    """The command line of the daemon."""

    settings: Settings
    ready_fd: int
    snapshotter: str
    group: int


def parse(arguments: list[str]) -> Options:
    """Return the options. Exits with a message for what is not understood."""
    parser = argparse.ArgumentParser("casemate.daemon", description="The casemate engine.")
    parser.add_argument("--root", default=DEFAULT_ROOT, help="where images and containers are kept")
    parser.add_argument("--run", default=DEFAULT_RUN, help="where sockets and mounts are")
    parser.add_argument("--config", default="", help="settings (TOML), default ROOT/casemate.toml")
    parser.add_argument(
        "--idle", type=float, default=600, help="leave after so many idle seconds (0: never)"
    )
    parser.add_argument("--warm-rooms", type=int, default=2, help="rooms kept ready (0: none)")
    parser.add_argument("--snapshotter", choices=["auto", "erofs", "directories"], default="auto")
    parser.add_argument("--group", type=int, default=-1, help="group id that may use the socket")
    parser.add_argument("--ready-fd", type=int, default=-1, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    paths = Paths(os.path.abspath(given.root), os.path.abspath(given.run))
    settings = Settings(
        paths=paths,
        name=instance_name(paths),
        warm_rooms=given.warm_rooms,
        idle_s=given.idle,
        registry=_registry(given.config or f"{paths.root}/casemate.toml", bool(given.config)),
    )
    return Options(settings, given.ready_fd, given.snapshotter, given.group)


def instance_name(paths: Paths) -> str:
    """Return what this engine calls its bridge, tables and cgroups; another root, another name."""
    if paths.root == DEFAULT_ROOT:
        return "casemate"
    return f"casemate-{hashlib.sha256(paths.root.encode()).hexdigest()[:4]}"


def _registry(path: str, required: bool) -> RegistryConfig:
    """Return how registries are reached: by the settings, and by the environment's proxies."""
    settings = _settings(path, required).get("registry", {})
    if not isinstance(settings, dict):
        raise InvalidArgument(f"{path}: registry must be a table")
    return registry_config.parse(settings, proxies=proxy.from_environment(os.environ))


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


def compose(options: Options) -> Engine:
    """Make an engine of its parts. Needs a running event loop. Raises Error."""
    settings = options.settings
    paths = settings.paths
    paths.make()
    machine = machines.read()
    database = Database(paths.database)
    content, layers = ContentStore(f"{paths.root}/content"), LayerStore(paths.root)
    lowers, reason = choose_lowers(options.snapshotter, paths)
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
        program=program,
    )
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

    Raises Conflict when one has the data root but another run directory.
    """
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


async def serve(options: Options) -> None:
    """Serve until a signal comes, or nobody has needed the engine for long enough."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engine = compose(options)
    await recover.recover(engine)
    server = Server(App(engine))
    await server.listen_unix(
        engine.paths.socket, 0o660 if options.group >= 0 else 0o600, options.group
    )
    _tell(options.ready_fd, "ready")
    if options.settings.idle_s:
        engine.background(_leave_when_idle(engine, server, stop))
    await stop.wait()
    server.close()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(engine.paths.socket)
    await engine.close()


async def _leave_when_idle(engine: Engine, server: Server, stop: asyncio.Event) -> None:
    """End the engine when nothing was asked of it for long. Containers go on under their shims."""
    idle_since = asyncio.get_running_loop().time()
    while not stop.is_set():
        await asyncio.sleep(min(_CHECK_IDLE_S, engine.settings.idle_s))
        now = asyncio.get_running_loop().time()
        if server.busy or engine.busy:
            idle_since = now
        elif now - max(idle_since, server.last_change) >= engine.settings.idle_s:
            stop.set()


def _tell(descriptor: int, text: str) -> None:
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.write(descriptor, f"{text}\n".encode())
        os.close(descriptor)


def main() -> int:
    """Run an engine."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    ready = -1
    os.umask(0o022)  # files that are mounted into containers are for every user in them
    try:
        options = parse(sys.argv[1:])
        ready = options.ready_fd
        with only_one(options.settings.paths) as alone:
            if not alone:
                _tell(ready, "ready")
                return 0
            asyncio.run(serve(options))
    except Error as error:
        hint = f" ({error.hint})" if error.hint else ""
        _tell(ready, f"error: {error.message}{hint}")
        logging.getLogger("casemate").error("%s%s", error.message, hint)
        return 1
    except OSError as error:
        _tell(ready, f"error: {error}")
        logging.getLogger("casemate").exception("cannot run the engine")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
