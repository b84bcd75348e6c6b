"""What follows when a container is found to be unhealthy: ``--on-unhealthy``, which is ours."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from casemate.engine.engine import Engine
from casemate.engine.records import Record
from casemate.engine.restart import restart
from casemate.engine.stop import stop
from casemate.errors import Error

_LOG = logging.getLogger("casemate.health")

_ACTIONS: Mapping[str, Callable[[Engine, Record], Awaitable[object]]] = {
    "restart": restart,
    "stop": stop,
}


async def act(engine: Engine, record: Record) -> None:
    """Do what the container's maker wants; what fails is logged, and it stays as it is."""
    action = _ACTIONS.get(record.fixed.host.on_unhealthy)
    if action is None:
        return
    try:
        await action(engine, record)
    except Error as error:
        _LOG.error("container %s is unhealthy: %s", record.name, error)
