"""What is written down survives a loss of power: soon, and at once where somebody relies on it.

What is promised when, and what it costs, is in docs/adr/0005.
"""

from __future__ import annotations

import asyncio
import logging

from casemate.database import Database
from casemate.engine.threads import in_thread
from casemate.errors import Error

_LOG = logging.getLogger("casemate.durability")

#: What nobody waits for survives a loss of power so long after it was written down.
_SOON_S = 1.0


class Durability:
    """Syncs the database of an engine. Belongs to the running event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        database.on_unsynced = self._written

    async def settled(self) -> None:
        """Return when all that is written down survives a loss of power. Raises Error."""
        if self._database.unsynced:
            await in_thread(self._database.sync)

    def close(self) -> None:
        """Do nothing more: who closes the database makes it durable."""
        self._database.on_unsynced = lambda: None
        if self._timer:
            self._timer.cancel()

    def _written(self) -> None:
        """Be told of something that is not durable yet, in whatever thread."""
        self._loop.call_soon_threadsafe(self._later)

    def _later(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(_SOON_S, self._now)

    def _now(self) -> None:
        self._timer = None
        self._loop.run_in_executor(None, self._sync)

    def _sync(self) -> None:
        try:
            self._database.sync()
        except Error as error:
            _LOG.error("%s", error)
