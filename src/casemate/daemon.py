"""The engine's process: serves an engine until a signal comes, or nobody needs it.

``python -m casemate.daemon --help`` tells the options; what an engine is made of is in
``composition``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
from typing import NamedTuple

from casemate.composition import (
    DEFAULT_ROOT,
    DEFAULT_RUN,
    SNAPSHOTTERS,
    UMASK,
    Serving,
    Setup,
    only_one,
    serving,
    settings_of,
)
from casemate.engine.paths import Paths
from casemate.errors import Error

_CHECK_IDLE_S = 5.0


class Options(NamedTuple):
    """The command line of the daemon."""

    setup: Setup
    ready_fd: int


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
    parser.add_argument("--snapshotter", choices=SNAPSHOTTERS, default="auto")
    parser.add_argument("--group", type=int, default=-1, help="group id that may use the socket")
    parser.add_argument("--ready-fd", type=int, default=-1, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    settings = settings_of(
        Paths(os.path.abspath(given.root), os.path.abspath(given.run)),
        os.environ,
        config=given.config,
        idle_s=given.idle,
        warm_rooms=given.warm_rooms,
    )
    return Options(Setup(settings, given.snapshotter, given.group), given.ready_fd)


async def serve(options: Options) -> None:
    """Serve until a signal comes, or nobody has needed the engine for long enough."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(options.setup) as served:
        _tell(options.ready_fd, "ready")
        if options.setup.settings.idle_s:
            served.engine.background(_leave_when_idle(served, stop))
        await stop.wait()


async def _leave_when_idle(served: Serving, stop: asyncio.Event) -> None:
    """End the engine when nothing was asked of it for long. Containers go on under their shims."""
    engine, server = served
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


def _raise_open_files() -> None:
    """Have as many files open as we may: two for each container that runs, and more for clients."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # it may be above what the system allows by now
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Run an engine."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    ready = -1
    os.umask(UMASK)
    _raise_open_files()
    try:
        options = parse(sys.argv[1:])
        ready = options.ready_fd
        os.chdir("/")
        with only_one(options.setup.settings.paths) as alone:
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
