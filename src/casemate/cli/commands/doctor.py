"""``doctor``: check what this machine can do for containers."""

from __future__ import annotations

import os
import sys

from casemate.cli.failure import Exit
from casemate.cli.options import Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    words = [sys.executable, "-m", "casemate.doctor"]
    if arguments.given("format"):
        words += ["--format", arguments.text("format")]
    try:
        os.execv(words[0], words)
    except OSError as error:
        raise Exit(1, f"cannot run {words[0]}: {error.strerror}") from error


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (Option("format", "string", "'json': as JSON", suggest="json"),),
    most=0,
    examples=("casemate doctor",),
)
