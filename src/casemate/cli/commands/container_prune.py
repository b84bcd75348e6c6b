"""``container prune``: remove stopped containers."""

from __future__ import annotations

from casemate.cli import pruning
from casemate.cli.options import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    pairs = pruning.chosen_filters(session, arguments)
    pruning.confirm(arguments, "WARNING! This will remove all stopped containers.")
    pruning.total(pruning.containers(session, pairs))
    return 0


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (pruning.FILTER, pruning.FORCE),
    most=0,
    examples=("casemate container prune -f --filter until=24h",),
)
