"""Sees that the firewall's rules were swept away, and has them put back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from casemate.errors import Error
from casemate.linux import nftables

_SETTLED_S = 0.2

_LOG = logging.getLogger("casemate.networking")


class RuleWatch:
    """Calls ``restore``, which returns what was wrong, after somebody changed the rules."""

    def __init__(self, restore: Callable[[], list[str]]) -> None:
        self._restore = restore
        self._socket = nftables.watch()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._changed)
        self._waiting: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Look no longer."""
        if self._waiting:
            self._waiting.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _changed(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            while self._socket.recv(1 << 16, socket.MSG_DONTWAIT):
                pass
        if self._waiting is None:
            # A reload is many changes: look once, when it has settled.
            self._waiting = self._loop.call_later(_SETTLED_S, self._look)

    def _look(self) -> None:
        self._waiting = None
        try:
            wrong = self._restore()
        except Error as error:
            _LOG.error("cannot restore the firewall's rules: %s", error)
        else:
            for text in wrong:
                _LOG.warning("restored the firewall's rules: %s", text)
