"""What happens, told to whoever listens: a bounded queue for each listener."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, NamedTuple

#: Events that a listener may be behind before it is let go, and that are kept for ``since``.
_WAITING = 4096
_KEPT = 1024


class Event(NamedTuple):
    """One event. ``kind`` is container, image or network; ``at_ns`` since the epoch."""

    kind: str
    action: str
    id: str
    attributes: dict[str, str]
    at_ns: int

    def as_json(self) -> dict[str, Any]:
        """Return the event as the API shows it. Source: Docker Engine API v1.47, EventMessage."""
        document: dict[str, Any] = {
            "Type": self.kind,
            "Action": self.action,
            "Actor": {"ID": self.id, "Attributes": self.attributes},
            "scope": "local",
            "time": self.at_ns // 1_000_000_000,
            "timeNano": self.at_ns,
        }
        if self.kind in ("container", "image"):
            document |= {"status": self.action, "id": self.id}
            if "image" in self.attributes:
                document["from"] = self.attributes["image"]
        return document


class Listener:
    """One who listens: events in order, until it falls too far behind."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(_WAITING)
        self.lost = False

    def put(self, event: Event) -> None:
        """Hand over one event, or let the listener go when it is too far behind."""
        if self.lost:
            return
        if self._queue.qsize() >= _WAITING - 1:
            self.lost = True
            self._queue.put_nowait(None)
            return
        self._queue.put_nowait(event)

    async def next(self) -> Event | None:
        """Return the next event, None when some were lost."""
        return await self._queue.get()


class Events:
    """Hands each event to every listener."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._kept: deque[Event] = deque(maxlen=_KEPT)

    def publish(self, kind: str, action: str, id_: str, attributes: dict[str, str]) -> None:
        """Tell that ``action`` happened to the object ``id_``."""
        event = Event(kind, action, id_, attributes, time.time_ns())
        self._kept.append(event)
        for listener in self._listeners:
            listener.put(event)

    def listen(self) -> Listener:
        """Begin to listen."""
        listener = Listener()
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Stop listening."""
        self._listeners.discard(listener)

    @property
    def listening(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def since(self, at_ns: int) -> list[Event]:
        """Return the events from ``at_ns`` on that are still remembered."""
        return [event for event in self._kept if event.at_ns >= at_ns]
