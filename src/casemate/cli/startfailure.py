"""Why a container could not be made or started, as exit statuses that shells know."""

from __future__ import annotations

from casemate.cli.failure import Exit
from casemate.cli.usage import PROGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.errors import Error

_NOT_FOUND = (
    "executable file not found",
    "no such file or directory",
    "system cannot find the file specified",
)
_NOT_EXECUTABLE = ("permission denied", "is a directory")


def status_of(error: Error) -> int:
    """Return 127 for a command that is not there, 126 for one that cannot be run, else 125."""
    message = str(error)
    if any(text in message for text in _NOT_FOUND):
        return 127
    if any(text in message for text in _NOT_EXECUTABLE):
        return 126
    return 125


def explained(error: Error, verb: str, status: int | None = None) -> Exit:
    """Return the failure of ``verb`` with where to find help."""
    return Exit(
        status_of(error) if status is None else status,
        f"{PROGRAM}: {error}\n\nRun '{PROGRAM} {verb} --help' for more information",
        hint=error.hint,
    )
