"""How a program ended, and the errors that carry it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from casemate.errors import Aborted, Error

_NO_FILES: Mapping[str, bytes] = MappingProxyType({})


class Result(NamedTuple):
    """A program's end: its exit code (128 + n for signal n), and what it wrote.

    ``files`` are those that were to be collected, by their paths in the container.
    """

    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""
    files: Mapping[str, bytes] = _NO_FILES

    @property
    def ok(self) -> bool:
        """The exit code is 0."""
        return self.exit_code == 0

    @property
    def text(self) -> str:
        """What was written to standard output, as UTF-8; what is none is replaced."""
        return self.stdout.decode("utf-8", "replace")

    def check(self) -> Result:
        """Return this result. Raises Failed unless the exit code is 0."""
        if not self.ok:
            raise Failed(self)
        return self


class Failed(Error):
    """The program ended with another exit code than 0, and the caller asked for that to count."""

    def __init__(self, result: Result) -> None:
        last = result.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        said = f": {last[0][:500]}" if last else ""
        super().__init__(f"the program ended with exit code {result.exit_code}{said}")
        self.result = result


class Timeout(Aborted):
    """The time was over and the container was killed; ``result`` is what there was until then."""

    def __init__(self, timeout_s: float, result: Result) -> None:
        super().__init__(f"the container was killed after {timeout_s:g} s")
        self.result = result


class OutputLimit(Aborted):
    """The program wrote more than the caller wants to keep, and the container was killed."""

    def __init__(self, limit_bytes: int, result: Result) -> None:
        super().__init__(f"the container was killed: it wrote more than {limit_bytes} bytes")
        self.result = result
