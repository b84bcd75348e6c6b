"""``update``: change limits and the restart policy of containers, also while they run."""

from __future__ import annotations

from casemate.cli.body.limits import changeable, restart_policy
from casemate.cli.create_options import CREATE_OPTIONS
from casemate.cli.engine import path_of
from casemate.cli.failure import Exit
from casemate.cli.options import Command, Option
from casemate.cli.several import in_turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.arguments import Arguments
    from casemate.cli.session import Session

_NAMES = frozenset(
    {
        *("blkio-weight", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime"),
        *("cpu-shares", "cpus", "cpuset-cpus", "cpuset-mems", "memory", "memory-reservation"),
        *("memory-swap", "pids-limit"),
    }
)
_OPTIONS = (
    *(option for option in CREATE_OPTIONS if option.name in _NAMES),
    Option(
        "restart",
        "string",
        "Restart policy to apply when a container exits",
        suggest="no always on-failure unless-stopped",
    ),
)


def _run(session: Session, arguments: Arguments) -> int:
    if not any(arguments.given(option.name) for option in _OPTIONS):
        raise Exit(1, "you must provide one or more flags when using this command")
    body: dict[str, Any] = {
        **changeable(arguments),
        "PidsLimit": arguments.number("pids-limit") or None,
        "RestartPolicy": restart_policy(arguments.text("restart")),
    }

    def update(container: str) -> None:
        session.engine.post(path_of("containers", container, "update"), body)

    return in_turn(arguments.rest, update)


COMMAND = Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    _run,
    _OPTIONS,
    least=1,
    examples=(
        "casemate update -m 512m --memory-swap 1g web",
        "casemate update --restart unless-stopped web",
    ),
    suggest="containers",
)
