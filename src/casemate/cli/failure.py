"""How a command ends badly."""

from __future__ import annotations

from casemate.errors import Error, InvalidArgument


class Exit(Error):
    """The command ends with ``status``; an empty message says nothing."""

    def __init__(self, status: int, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class BadUsage(InvalidArgument):
    """The command line breaks a rule: the message is shown with the command's usage."""

    def __init__(
        self, message: str, *, suggestions: list[str] | None = None, status: int = 125
    ) -> None:
        super().__init__(message)
        self.suggestions = suggestions or []
        self.status = status


class Interrupted(BaseException):
    """A signal asked the command to end; not an ``Exception``, so that nothing swallows it."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.status = 128 + signal


def joined(errors: list[Error]) -> Exit:
    """Return one failure for the errors of several arguments, a line for each."""
    hints = [error.hint for error in errors if error.hint]
    return Exit(1, "\n".join(map(str, errors)), hint=hints[0] if hints else None)
