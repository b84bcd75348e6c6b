"""The states of a container's life, and which verb is allowed in which: one table.

A verb that a state does not allow is refused with Docker's own words, from which its clients read
what is wrong. A verb whose aim is reached already is done without doing anything.

Source: Docker Engine API v1.47, ContainerState; moby daemon/{start,pause,exec,delete,update}.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from casemate.engine.records import Record, Status
from casemate.errors import Conflict

Verb = Literal[
    "attach",
    "commit",
    "exec",
    "export",
    "kill",
    "pause",
    "remove",
    "rename",
    "resize",
    "restart",
    "start",
    "stop",
    "top",
    "unpause",
    "update",
    "wait",
]

STATUSES: tuple[Status, ...] = get_args(Status)
VERBS: tuple[Verb, ...] = get_args(Verb)

_NO_PROCESS: tuple[Status, ...] = ("created", "exited", "dead", "removing")
_NOT_RUNNING = "container {id} is not running"
_RESTARTING = "Container {id} is restarting, wait until the container is running"
_LEAVING = "container is marked for removal and cannot be started"
_NO_UPDATE = 'Cannot update container {id}: container is marked for removal and cannot be "update"'
_NO_REMOVAL = 'cannot remove container "{name}": container is '
_STOP_FIRST = "{status}: stop the container before removing or force remove"


def _without_process(text: str) -> dict[Status, str]:
    return dict.fromkeys(_NO_PROCESS, text)


#: Verb → state → what is said; what is not here is allowed. ``remove`` is without force.
REFUSED: Mapping[Verb, Mapping[Status, str]] = {
    "attach": {
        "paused": "container {id} is paused, unpause the container before attach",
        "restarting": "container {id} is restarting, wait until the container is running",
    },
    "commit": {
        "dead": "You cannot commit container {id} which is Dead",
        "removing": "You cannot commit container {id} which is being removed",
    },
    "exec": {
        **_without_process(_NOT_RUNNING),
        "paused": "Container {id} is paused, unpause the container before exec",
        "restarting": _RESTARTING,
    },
    "export": {
        "dead": "You cannot export container {id} which is Dead",
        "removing": "You cannot export container {id} which is being removed",
    },
    "kill": _without_process(f"cannot kill container: {{name}}: {_NOT_RUNNING}"),
    "pause": {
        **_without_process(_NOT_RUNNING),
        "paused": "container {id} is already paused",
        "restarting": _RESTARTING,
    },
    "remove": {
        "running": f"{_NO_REMOVAL}{_STOP_FIRST}",
        "paused": f"{_NO_REMOVAL}paused and must be unpaused first",
        "restarting": f"{_NO_REMOVAL}{_STOP_FIRST}",
        "removing": "removal of container {name} is already in progress",
    },
    "resize": {**_without_process(_NOT_RUNNING), "restarting": _RESTARTING},
    "restart": dict.fromkeys(
        ("dead", "removing"), f"Cannot restart container {{name}}: {_LEAVING}"
    ),
    "start": {
        "paused": "cannot start a paused container, try unpause instead",
        **dict.fromkeys(("dead", "removing"), _LEAVING),
    },
    "top": {
        **_without_process(_NOT_RUNNING),
        "restarting": _RESTARTING,
    },
    "unpause": dict.fromkeys(
        (*_NO_PROCESS, "running", "restarting"), "Container {id} is not paused"
    ),
    "update": dict.fromkeys(("dead", "removing"), _NO_UPDATE),
}

#: Where a verb finds nothing left to do.
REACHED: Mapping[Verb, tuple[Status, ...]] = {
    "start": ("running", "restarting"),
    "stop": _NO_PROCESS,
}


def allow(verb: Verb, record: Record, status: Status) -> bool:
    """Return whether ``verb`` has something to do for a container in the state ``status``.

    Raises Conflict where the state does not allow it.
    """
    text = REFUSED.get(verb, {}).get(status)
    if text:
        raise Conflict(text.format(id=record.id, name=record.name, status=status))
    return status not in REACHED.get(verb, ())
