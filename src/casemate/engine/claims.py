"""Containers that are made to be owned: they are removed when nobody owns them before they start.

From its start on, a container's supervisor sees to that (ATTACH_OWNER).
"""

from __future__ import annotations

import asyncio

from casemate.engine import life
from casemate.engine.engine import Engine
from casemate.supervise import protocol

#: How long the client takes at most between a container's creation and the attachment to it.
_PATIENCE_S = 5.0


async def expect_owner(engine: Engine, id_: str) -> None:
    """Wait until the container has started; remove it when its owner does not come or is gone."""
    while (record := engine.records.get(id_)) and record.state.status == "created":
        await asyncio.sleep(_PATIENCE_S)
        record = engine.records.get(id_)
        if record is None or record.state.status != "created":
            return
        if not engine.live(id_).awaited(protocol.ATTACH_OWNER):
            await life.remove_by_itself(engine, id_)
