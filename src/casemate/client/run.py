"""One run of a container, that is waited for or used in a ``with`` statement."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Unpack

from casemate.client import values
from casemate.client.attached import First, Request
from casemate.client.connections import Connections
from casemate.client.container import OUTPUT_LIMIT_BYTES
from casemate.client.options import Options, body_of
from casemate.client.result import Result
from casemate.client.running import Running
from casemate.client.talk import Limits
from casemate.client.uninterrupted import made
from casemate.errors import InvalidArgument, NotFound


class Asked(NamedTuple):
    """What was asked for, read and checked."""

    request: Request
    timeout_s: float | None
    input: bytes | None


def asked(
    image: str,
    command: Sequence[str] | None,
    *,
    timeout: float | str | None = None,
    input: bytes | None = None,
    stdin: bool = False,
    output_limit: int | str = OUTPUT_LIMIT_BYTES,
    **options: Unpack[Options],
) -> Asked:
    """Return what was asked for. Raises InvalidArgument, which names the argument."""
    if stdin and input is not None:
        raise InvalidArgument("invalid stdin=True: there is input= already, which is all of it")
    body = body_of(image, command, options)
    if stdin or input is not None:
        body |= {"OpenStdin": True, "StdinOnce": True, "AttachStdin": True}
    limit = values.size("output_limit", output_limit)
    return Asked(
        Request(body, values.text("name", options.get("name", "")), limit),
        None if timeout is None else values.seconds("timeout", timeout),
        None if input is None else values.data("input", input),
    )


def started(connections: Connections, asked: Asked, pull: Callable[[str], object]) -> Running:
    """Return the container, started; its image is pulled when it is not there."""

    def first() -> First:
        return made(lambda: First(connections, asked.request), First.discard)

    try:
        process = first()
    except NotFound as error:
        if "No such image" not in error.message:
            raise
        pull(asked.request.body["Image"])
        process = first()
    # The time for a pull is not the program's.
    return Running(connections, process, Limits(asked.timeout_s), asked.input)


class Run:
    """A container that runs. Either wait for its result, or use it in a ``with`` statement.

    It is killed and removed when nobody holds this any more.
    """

    def __init__(self, running: Running, close: Callable[[], None]) -> None:
        self._running = running
        self._close = close
        self._used = False
        running.watch()

    def wait(self) -> Result:
        """Wait until it has ended and is removed. Raises Timeout, OutputLimit."""
        self._used = True
        try:
            return self._running.result()
        finally:
            self._end()

    @property
    def id(self) -> str:
        """The container's id."""
        return self._running.id

    @property
    def exit_code(self) -> int:
        """Wait as ``wait`` does, and return the exit code."""
        return self.wait().exit_code

    @property
    def stdout(self) -> bytes:
        """Wait as ``wait`` does, and return what was written to standard output."""
        return self.wait().stdout

    @property
    def stderr(self) -> bytes:
        """Wait as ``wait`` does, and return what was written to standard error."""
        return self.wait().stderr

    @property
    def text(self) -> str:
        """Wait as ``wait`` does, and return standard output as text."""
        return self.wait().text

    @property
    def ok(self) -> bool:
        """Wait as ``wait`` does, and tell whether the exit code is 0."""
        return self.wait().ok

    def check(self) -> Result:
        """Wait as ``wait`` does, and return the result. Raises Failed unless it is 0."""
        return self.wait().check()

    def __enter__(self) -> Running:
        self._used = True
        return self._running

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._end()

    def __del__(self) -> None:
        running = getattr(self, "_running", None)
        if running and not self._used:
            warnings.warn(
                f"container {running.id[:12]} was neither waited for nor used in a with"
                " statement: it is killed",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )
            self._end()

    def _end(self) -> None:
        try:
            self._running.end()
        finally:
            self._close()
