"""An engine, as a program with an event loop sees it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, Unpack

from casemate.aio.container import Container
from casemate.aio.run import Run
from casemate.aio.threads import Threads
from casemate.client import engine
from casemate.client.images import Image
from casemate.client.options import Options, RunOptions
from casemate.client.run import Asked, asked, started
from casemate.hosting import host as blocking_host


class Images:
    """The images of an engine; the methods are those of ``casemate.Engine().images``."""

    def __init__(self, threads: Threads, blocking: engine.Engine) -> None:
        self._threads = threads
        self._images = blocking.images

    async def list(self) -> list[Image]:
        """Return all images."""
        return await self._threads.do(self._images.list)

    async def get(self, name: str) -> Image:
        """Return an image by its name or id. Raises NotFound."""
        return await self._threads.do(lambda: self._images.get(name))

    async def pull(
        self, name: str, *, platform: str = "", auth: tuple[str, str] | None = None
    ) -> Image:
        """Pull an image; ``name`` without tag is ``latest``."""
        return await self._threads.do(lambda: self._images.pull(name, platform=platform, auth=auth))

    async def import_tar(self, archive: bytes | Iterable[bytes], name: str, *changes: str) -> Image:
        """Make an image of the tar of a root."""
        return await self._threads.do(lambda: self._images.import_tar(archive, name, *changes))

    async def load(self, archive: bytes | Iterable[bytes] | os.PathLike[str]) -> str:
        """Load what ``save`` wrote; returns what the engine says about it."""
        return await self._threads.do(lambda: self._images.load(archive))

    async def save(self, *names: str) -> AsyncIterator[bytes]:
        """Yield the archive of images."""
        pieces = self._images.save(*names)
        while (piece := await self._threads.do(lambda: next(pieces, None))) is not None:
            yield piece

    async def tag(self, name: str, new: str) -> None:
        """Give an image another name."""
        await self._threads.do(lambda: self._images.tag(name, new))

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a name, and the image with its last one."""
        await self._threads.do(lambda: self._images.remove(name, force=force))


class Containers:
    """The containers of an engine; the methods are those of ``casemate.Engine().containers``."""

    def __init__(self, threads: Threads, blocking: engine.Engine) -> None:
        self._threads = threads
        self._containers = blocking.containers

    async def list(self, *, all: bool = False, labels: Mapping[str, str] = {}) -> list[Container]:
        """Return the containers that run, or ``all``; with ``labels`` only those that have them."""
        found = await self._threads.do(lambda: self._containers.list(all=all, labels=labels))
        return [Container(self._threads, item) for item in found]

    async def get(self, name: str) -> Container:
        """Return a container by its name or id. Raises NotFound."""
        return Container(self._threads, await self._threads.do(lambda: self._containers.get(name)))

    async def create(
        self, image: str, command: Sequence[str] | None = None, **options: Unpack[Options]
    ) -> Container:
        """Create a container that nobody owns: it stays until somebody removes it."""
        made = await self._threads.do(lambda: self._containers.create(image, command, **options))
        return Container(self._threads, made)


class Engine:
    """An engine, as ``casemate.Engine``; use it in one event loop."""

    def __init__(self, host: str = "", *, run: str = "", root: str = "") -> None:
        #: The blocking one, on which this is built.
        self.blocking = engine.Engine(host, run=run, root=root)
        self.threads = Threads()
        self.images = Images(self.threads, self.blocking)
        self.containers = Containers(self.threads, self.blocking)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The address of the engine."""
        return self.blocking.address

    def close(self) -> None:
        """Close the connections that are kept; what runs goes on."""
        self.blocking.close()
        self.threads.close()

    async def info(self) -> dict[str, Any]:
        """Return what the engine tells of itself and its machine."""
        return await self.threads.do(self.blocking.info)

    def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        check: bool = False,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Return a container to be, as ``casemate.Engine().run`` starts one.

        It is started when it is awaited, or by the ``async with`` statement.
        """
        return self.prepare(asked(image, command, **options), check=check)

    def prepare(
        self, found: Asked, *, check: bool, close: Callable[[], None] = lambda: None
    ) -> Run:
        """Return what ``run`` was asked for; ``close`` is called at its end."""
        own = self.blocking
        return Run(
            self.threads,
            lambda: started(own.connections, found, own.images.pull),
            check=check,
            close=close,
        )


def run(
    image: str,
    command: Sequence[str] | None = None,
    *,
    check: bool = False,
    **options: Unpack[RunOptions],
) -> Run:
    """Return a container to be in the user's own engine, as ``Engine().run`` does."""
    found = asked(image, command, **options)
    own = Engine()
    return own.prepare(found, check=check, close=own.close)


@asynccontextmanager
async def host(root: str = "", run: str = "", **settings: Any) -> AsyncIterator[Engine]:
    """Have an engine serve in this process, as ``casemate.host`` does, in a thread of its own."""
    threads = Threads()
    context = blocking_host(root, run, **settings)
    try:
        own = await threads.make(context.__enter__, lambda _: context.__exit__(None, None, None))
        try:
            async with Engine(own.address) as engine:
                yield engine
        finally:
            await threads.do(lambda: context.__exit__(None, None, None))
    finally:
        threads.close()
