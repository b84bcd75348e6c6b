"""An engine, as a Python program sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from casemate.client.connections import Connections
from casemate.client.containers import Containers
from casemate.client.images import Images
from casemate.client.options import RunOptions
from casemate.client.place import locate
from casemate.client.run import Asked, Run, asked, started


class Engine:
    """An engine, which is started on first use when it is one of this machine.

    ``host`` is an address (``unix:///path``, ``tcp://host:port``); ``run`` and ``root`` are the
    directories of an engine of this machine. What is not given is taken from CASEMATE_HOST,
    CASEMATE_RUN and CASEMATE_ROOT, as by the command; without them it is the user's own engine.
    Any number of threads may use one. Raises InvalidArgument.
    """

    def __init__(self, host: str = "", *, run: str = "", root: str = "") -> None:
        self.connections = Connections(locate(host, run, root, os.environ))
        self.images = Images(self.connections)
        self.containers = Containers(self.connections)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """The address of the engine."""
        return self.connections.location.address

    def close(self) -> None:
        """Close the connections that are kept; what runs goes on."""
        self.connections.close()

    def info(self) -> dict[str, Any]:
        """Return what the engine tells of itself and its machine."""
        found: dict[str, Any] = self.connections.call("GET", "/info")
        return found

    def run(
        self,
        image: str,
        command: Sequence[str] | None = None,
        *,
        check: bool = False,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Start a container of ``image``, which is pulled when it is missing.

        Wait for its result, or use it in a ``with`` statement; ``check=True`` waits at once and
        raises Failed unless it ends with 0. Raises InvalidArgument for an argument that breaks a
        rule, and the Error of the engine.
        """
        return self.start(asked(image, command, **options), check=check)

    def start(self, found: Asked, *, check: bool, close: Callable[[], None] = lambda: None) -> Run:
        """Start what ``run`` was asked for; ``close`` is called at its end."""
        try:
            run = Run(started(self.connections, found, self.images.pull), close)
        except BaseException:
            close()
            raise
        if check:
            run.check()
        return run


def run(
    image: str,
    command: Sequence[str] | None = None,
    *,
    check: bool = False,
    **options: Unpack[RunOptions],
) -> Run:
    """Start a container in the user's own engine, as ``Engine().run`` does."""
    found = asked(image, command, **options)
    engine = Engine()
    return engine.start(found, check=check, close=engine.close)
