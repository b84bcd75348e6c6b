"""Removal of what is not used: the question, the requests, and what came of them."""

from __future__ import annotations

import sys

from casemate.cli import filtering
from casemate.cli.engine import filters, path_of
from casemate.cli.failure import Exit
from casemate.cli.options import SWITCH, Option
from casemate.cli.output import clean, out
from casemate.cli.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

    Pairs = list[tuple[str, str]]

FORCE = Option("force", SWITCH, "Do not prompt for confirmation", short="f")
FILTER = Option("filter", "filter", 'Provide filter values (e.g. "until=<timestamp>")')


def chosen_filters(session: Session, arguments: Arguments) -> Pairs:
    """Return the filters of the command line and those of config.json that do not contradict."""
    pairs = filtering.pairs(arguments)
    opposite = {"label": "label!", "label!": "label"}
    for name, value in session.config.prune_filters():
        if (opposite.get(name, ""), value) not in pairs:
            pairs.append((name, value))
    return pairs


def confirm(arguments: Arguments, warning: str) -> None:
    """Ask, unless ``--force`` was given. Raises Exit, silent, when the answer is no."""
    if arguments.switch("force"):
        return
    out(f"{warning}\nAre you sure you want to continue? [y/N] ")
    if sys.stdin.readline().strip().lower() != "y":
        raise Exit(0)


def containers(session: Session, pairs: Pairs) -> int:
    """Remove stopped containers; return the bytes that became free."""
    report = session.engine.post(path_of("containers", "prune", filters=filters(pairs)))
    return _report("Deleted Containers:", report.get("ContainersDeleted"), report)


def networks(session: Session, pairs: Pairs) -> int:
    """Remove networks that nobody uses; they take no space."""
    report = session.engine.post(path_of("networks", "prune", filters=filters(pairs)))
    return _report("Deleted Networks:", report.get("NetworksDeleted"), report)


def anonymous_volumes(session: Session, pairs: Pairs) -> int:
    """Remove volumes without a name that nobody uses; return the bytes that became free."""
    report = session.engine.post(path_of("volumes", "prune", filters=filters(pairs)))
    return _report("Deleted Volumes:", report.get("VolumesDeleted"), report)


def all_volumes(session: Session, pairs: Pairs) -> int:
    """Remove volumes that nobody uses; return the bytes that became free."""
    return anonymous_volumes(session, [*pairs, ("all", "true")])


def images(session: Session, pairs: Pairs, everything: bool) -> int:
    """Remove images without a name, or all that nobody uses; return the bytes freed."""
    pairs = [*pairs, ("dangling", "false" if everything else "true")]
    report = session.engine.post(path_of("images", "prune", filters=filters(pairs)))
    lines = []
    for item in report.get("ImagesDeleted") or []:
        untagged = item.get("Untagged")
        lines.append(f"untagged: {untagged}" if untagged else f"deleted: {item.get('Deleted')}")
    return _report("Deleted Images:", lines, report)


def total(size_bytes: int) -> None:
    """Print how much became free."""
    out(f"Total reclaimed space: {human_size(size_bytes)}\n")


def _report(title: str, lines: list[str] | None, report: dict[str, int]) -> int:
    if not lines:
        return 0
    out("\n".join([title, *(clean(line) for line in lines)]) + "\n\n")
    return report.get("SpaceReclaimed") or 0
