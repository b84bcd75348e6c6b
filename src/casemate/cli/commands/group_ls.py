"""``group ls``: list groups, with what of their budgets is used."""

from __future__ import annotations

from casemate.cli.listing import Listing, naturally
from casemate.cli.options import FORMAT, SWITCH, Command, Option
from casemate.cli.units import binary_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_NO_LIMIT = "-"
_BILLION = 1_000_000_000


def _run(session: Session, arguments: Arguments) -> int:
    groups = _as_tree(session.extensions.get("/groups"), "")
    _LISTING.show(groups, arguments.text("format"), quiet=arguments.switch("quiet"))
    return 0


def _as_tree(groups: list[dict[str, Any]], parent: str) -> list[dict[str, Any]]:
    """Return the groups inside ``parent``, each one followed by those inside it."""
    found = []
    for group in sorted(groups, key=lambda g: naturally(g["Name"])):
        if group["Parent"] == parent:
            found += [group, *_as_tree(groups, group["Name"])]
    return found


def _used(group: dict[str, Any], name: str) -> int:
    return int((group["Use"] or {}).get(name) or 0)


def _memory(group: dict[str, Any], whole: bool) -> str:
    budget = group["Budget"]["Memory"]
    limit = binary_size(budget) if budget else _NO_LIMIT
    return f"{binary_size(_used(group, 'Memory'))} / {limit}"


def _cpus(group: dict[str, Any], whole: bool) -> str:
    nano_cpus = group["Budget"]["NanoCpus"]
    return f"{nano_cpus / _BILLION:g}" if nano_cpus else _NO_LIMIT


def _time(group: dict[str, Any], whole: bool) -> str:
    return f"{_used(group, 'CpuNs') / _BILLION:.2f}s"


def _pids(group: dict[str, Any], whole: bool) -> str:
    limit = group["Budget"]["PidsLimit"] or 0
    return f"{_used(group, 'Pids')} / {limit if limit > 0 else _NO_LIMIT}"


_LISTING = Listing(
    {
        "Name": ("GROUP", lambda group, whole: str(group["Name"])),
        "Parent": ("PARENT", lambda group, whole: str(group["Parent"]) or _NO_LIMIT),
        "Containers": ("CONTAINERS", lambda group, whole: str(len(group["Containers"]))),
        "Memory": ("MEMORY", _memory),
        "Cpus": ("CPUS", _cpus),
        "CpuTime": ("CPU TIME", _time),
        "Pids": ("PIDS", _pids),
        "Cgroup": ("CGROUP", lambda group, whole: str(group["Cgroup"])),
        "CreatedAt": ("CREATED AT", lambda group, whole: str(group["Created"])),
    },
    ("Name", "Parent", "Containers", "Memory", "Cpus", "CpuTime", "Pids"),
    quiet="Name",
)

COMMAND = Command(
    "[OPTIONS]",
    _run,
    (FORMAT, Option("quiet", SWITCH, "Only display group names", short="q")),
    most=0,
    about="List groups, each one followed by those inside it, with what is used of the budget:\n"
    "memory, processors and the time they have worked, tasks.",
    examples=("casemate group ls",),
)
