"""An engine in the caller's own process: the daemon's, in a thread with its event loop.

What an engine is made of is imported when one is hosted. Signals stay the caller's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread

from casemate.client.engine import Engine
from casemate.client.place import Place, locate
from casemate.errors import Conflict, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Event

    from casemate.composition import Setup


@contextmanager
def host(
    root: str = "",
    run: str = "",
    *,
    warm_rooms: int = 2,
    snapshotter: str = "auto",
    config: str = "",
) -> Iterator[Engine]:
    """Have an engine serve in this process at ``root`` and ``run``, and give it.

    Directories that are not given are those that the command would start one in. It can be used
    by everybody else as well, at its socket. At the end it leaves; containers that nobody owns go
    on under their supervisors, and the next engine at ``root`` finds them. Raises Conflict when
    another engine has one of the directories, and what keeps it from starting.
    """
    from casemate.composition import Setup, only_one, settings_of
    from casemate.engine.paths import Paths

    place = _place(root, run)
    paths = Paths(place.root, place.run)
    settings = settings_of(paths, os.environ, config=config, warm_rooms=warm_rooms)
    try:
        with only_one(paths) as alone:
            if not alone:
                raise Conflict(f"cannot host an engine in {place.run}: another one serves there")
            with _Serving(Setup(settings, snapshotter)), Engine(place.address) as engine:
                yield engine
    except OSError as error:
        raise from_os(error, f"cannot host an engine in {place.root}") from error


def _place(root: str, run: str) -> Place:
    environ = {name: value for name, value in os.environ.items() if name != "CASEMATE_HOST"}
    place = locate("", run, root, environ).place
    assert place  # without an address there is one
    return place


class _Serving:
    """The thread of the engine's event loop."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._ready: Future[tuple[AbstractEventLoop, Event]] = Future()
        self._thread = Thread(target=self._run, name="casemate-engine", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()
        try:
            self._loop, self._stop = self._ready.result()
        except Exception:
            self._thread.join()
            raise

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        import asyncio

        from casemate.composition import UMASK
        from casemate.linux.fileowner import make_files_with

        try:
            make_files_with(UMASK)
            asyncio.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        import asyncio

        from casemate.composition import serving

        stop = asyncio.Event()
        async with serving(self._setup):
            self._ready.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()
