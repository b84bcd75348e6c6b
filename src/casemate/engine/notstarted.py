"""Why a process did not start, in Docker's words, from which its clients choose an exit status."""

from __future__ import annotations

import errno
import os
from typing import Final

from casemate.errors import InvalidArgument
from casemate.runtime.plan import Plan
from casemate.runtime.steps import Step
from casemate.supervise.shim import StepFailed

START: Final = "failed to create task for container: "
EXEC: Final = "OCI runtime exec failed: exec failed: unable to start container process: "


#: What the kernel says of a file mounted on a directory, or the other way.
_WRONG_KIND = (("move_mount", errno.EINVAL), ("target", errno.ENOTDIR))


#: Where settings are written, below the container's /proc.
_SETTINGS = "sys/"


class NotStarted(InvalidArgument):
    """The process was not started; ``exit_code`` is what a shell would say: 127, 126, 125."""

    def __init__(self, message: str, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def explained(failure: StepFailed, plan: Plan, prefix: str, otherwise: int) -> NotStarted:
    """Return the error for the failed step of ``plan``; ``otherwise`` is the exit status of what
    is not the program's own fault.
    """
    item = _item(failure, plan)
    reason = os.strerror(failure.code).lower()
    if item and item.op == "exec":
        return _not_executed(failure, f'{prefix}exec: "{failure.about}": ', reason)
    if item and item.op == "chdir":
        return NotStarted(f'{prefix}chdir to cwd ("{failure.about}") failed: {reason}', 126)
    if item and item.op == "write" and failure.about.startswith(_SETTINGS):
        name = failure.about.removeprefix(_SETTINGS).replace("/", ".")
        return NotStarted(f"{prefix}--sysctl {name}: {reason}", otherwise)
    shown = f"step {failure.number} ({item.op})" if item else failure.part
    hint = "casemate plan shows the steps" if item else None
    if item and (item.op, failure.code) in _WRONG_KIND:
        hint = "a directory is mounted on directories, a file on files"
    return NotStarted(f"{prefix}{shown}: {failure.message.lower()}", otherwise, hint)


def _item(failure: StepFailed, plan: Plan) -> Step | None:
    steps = {
        "start": plan.inside,
        "ahead": plan.ahead,
        "outside": (*plan.outside, *plan.before),
        "before": plan.before,
    }[failure.part]
    return steps[failure.number] if failure.number < len(steps) else None


def _not_executed(failure: StepFailed, prefix: str, reason: str) -> NotStarted:
    if failure.code == errno.ENOENT and "/" not in failure.about:
        return NotStarted(f"{prefix}executable file not found in $PATH", 127)
    if failure.code == errno.EISDIR:
        reason += ": permission denied"  # these words are looked for, too
    absent = failure.code in (errno.ENOENT, errno.ENOTDIR)
    return NotStarted(f"{prefix}{reason}", 127 if absent else 126)
