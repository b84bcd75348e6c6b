"""``volume prune``: remove volumes that nobody uses."""

from __future__ import annotations

from casemate.cli import pruning
from casemate.cli.failure import Exit
from casemate.cli.options import SWITCH, Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    pairs = pruning.chosen_filters(session, arguments)
    everything = arguments.switch("all")
    if everything and any(name == "all" for name, _ in pairs):
        raise Exit(1, "conflicting options: cannot specify both --all and --filter all=1")
    which = "all" if everything else "anonymous"
    warning = f"WARNING! This will remove {which} local volumes not used by at least one container."
    pruning.confirm(arguments, warning)
    prune = pruning.all_volumes if everything else pruning.anonymous_volumes
    pruning.total(prune(session, pairs))
    return 0


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (
        Option("all", SWITCH, "Remove all unused volumes, not just anonymous ones", short="a"),
        pruning.FILTER,
        pruning.FORCE,
    ),
    most=0,
    examples=("casemate volume prune -f",),
)
