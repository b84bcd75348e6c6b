"""``image prune``: remove images that nobody uses."""

from __future__ import annotations

from casemate.cli import pruning
from casemate.cli.options import SWITCH, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    pairs = pruning.chosen_filters(session, arguments)
    everything = arguments.switch("all")
    which = "images without at least one container associated to them"
    warning = f"WARNING! This will remove all {which if everything else 'dangling images'}."
    pruning.confirm(arguments, warning)
    pruning.total(pruning.images(session, pairs, everything))
    return 0


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (
        Option("all", SWITCH, "Remove all unused images, not just dangling ones", short="a"),
        pruning.FILTER,
        pruning.FORCE,
    ),
    most=0,
    examples=("casemate image prune -af",),
)
