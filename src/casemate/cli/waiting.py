"""A container's end: the exit status, also across a restart of the engine."""

from __future__ import annotations

from casemate.cli import jsontext
from casemate.cli.engine import path_of
from casemate.cli.output import err
from casemate.errors import Error, NotFound, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from casemate.cli.engine import Engine

#: What a command ends with when the container's own status cannot be had.
UNKNOWN = 125


class Wait:
    """One request for a container's end, which the engine holds open.

    ``condition`` is one of the API's: not-running, next-exit, removed. The engine has taken note
    when this is made, so that a start behind it cannot be missed. Use as a context.
    """

    def __init__(self, engine: Engine, identifier: str, condition: str) -> None:
        self._engine = engine
        self._identifier = identifier
        self._condition = condition
        self._reply = engine.send("POST", self._path(condition))

    @property
    def descriptor(self) -> int:
        """Becomes readable when the answer is there."""
        return self._reply.detach()[0].fileno()

    def status(self) -> int:
        """Wait for the end and return the exit status; an error is told and becomes 125."""
        try:
            return self._read()
        except Unavailable:
            pass  # the engine went away; the container did not
        again = "removed" if self._condition == "removed" else "not-running"
        try:
            self._reply.detach()[0].close()
            self._reply = self._engine.send("POST", self._path(again))
            return self._read()
        except NotFound:
            err("the container is gone, and with it its exit status\n")
        except Error as error:
            err(f"error waiting for container: {error}\n")
        return UNKNOWN

    def __enter__(self) -> Wait:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._reply.detach()[0].close()

    def _path(self, condition: str) -> str:
        return path_of("containers", self._identifier, "wait", condition=condition)

    def _read(self) -> int:
        data = self._reply.read()
        try:
            answer = jsontext.loads(data)
            failure = answer.get("Error") or {}
            status = int(answer["StatusCode"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unavailable("the engine's answer broke off") from None
        if failure.get("Message"):
            err(f"Error waiting for container: {failure['Message']}\n")
            return UNKNOWN
        return status
