"""``system prune``: remove everything that nobody uses."""

from __future__ import annotations

from casemate.cli import pruning
from casemate.cli.failure import Exit
from casemate.cli.options import SWITCH, Command, Option
from casemate.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session


def _run(session: Session, arguments: Arguments) -> int:
    pairs = pruning.chosen_filters(session, arguments)
    everything, with_volumes = arguments.switch("all"), arguments.switch("volumes")
    if with_volumes and any(name == "until" for name, _ in pairs):
        raise Exit(1, 'ERROR: The "until" filter is not supported with "--volumes"')
    pruning.confirm(arguments, _warning(pairs, everything, with_volumes))
    freed = pruning.containers(session, pairs)
    for prune in (pruning.networks, pruning.anonymous_volumes if with_volumes else None):
        try:
            freed += prune(session, pairs) if prune else 0
        except NotFound:
            pass  # an engine without such objects has none that nobody uses
    freed += pruning.images(session, pairs, everything)
    pruning.total(freed)
    return 0


def _warning(pairs: list[tuple[str, str]], everything: bool, with_volumes: bool) -> str:
    lines = ["all stopped containers", "all networks not used by at least one container"]
    if with_volumes:
        lines.append("all anonymous volumes not used by at least one container")
    lines.append(
        "all images without at least one container associated to them"
        if everything
        else "all dangling images"
    )
    text = "WARNING! This will remove:\n" + "".join(f"  - {line}\n" for line in lines)
    if pairs:
        shown = "".join(f"  - {name}={value}\n" for name, value in sorted(pairs))
        text += f"\n  Items to be pruned will be filtered with:\n{shown}"
    return text


COMMAND = Command(
    "[OPTIONS]",
    _run,
    (
        Option("all", SWITCH, "Remove all unused images not just dangling ones", short="a"),
        pruning.FILTER,
        pruning.FORCE,
        Option("volumes", SWITCH, "Prune anonymous volumes"),
    ),
    most=0,
    examples=("casemate system prune -f",),
)
