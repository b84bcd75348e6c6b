"""An engine, as a Python program sees it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from casemate.client.connections import Connections
from casemate.client.container import OUTPUT_LIMIT_BYTES
from casemate.client.containers import Containers
from casemate.client.images import Images
from casemate.client.options import Options
from casemate.client.place import locate
from casemate.client.run import Run, asked, started


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
        timeout: float | str | None = None,
        check: bool = False,
        input: bytes | None = None,
        stdin: bool = False,
        output_limit: int | str = OUTPUT_LIMIT_BYTES,
        **options: Unpack[Options],
    ) -> Run:
        """Start a container of ``image``, which is pulled when it is missing.

        Wait for its result, or use it in a ``with`` statement; ``check=True`` waits at once and
        raises Failed unless it ends with 0. After ``timeout`` seconds, or when it has written more
        than ``output_limit`` that nobody has read, the container is killed, and who waits gets
        Timeout or OutputLimit. ``input`` is all that the program can read; with ``stdin`` it is
        what the ``with`` statement's container is given. Raises InvalidArgument for an argument
        that breaks a rule, and the Error of the engine.
        """
        return self.start(
            lambda: None,
            image,
            command,
            options,
            check=check,
            timeout=timeout,
            input=input,
            stdin=stdin,
            output_limit=output_limit,
        )

    def start(
        self,
        close: Callable[[], None],
        image: str,
        command: Sequence[str] | None,
        options: Options,
        *,
        check: bool,
        **limits: Any,
    ) -> Run:
        """Start what ``run`` was asked for; ``close`` is called at its end."""
        try:
            found = asked(image, command, options, **limits)
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
    timeout: float | str | None = None,
    check: bool = False,
    input: bytes | None = None,
    stdin: bool = False,
    output_limit: int | str = OUTPUT_LIMIT_BYTES,
    **options: Unpack[Options],
) -> Run:
    """Start a container in the user's own engine, as ``Engine().run`` does."""
    engine = Engine()
    return engine.start(
        engine.close,
        image,
        command,
        options,
        check=check,
        timeout=timeout,
        input=input,
        stdin=stdin,
        output_limit=output_limit,
    )
