"""What several containers use, followed at the same time: a thread for each."""

from __future__ import annotations

import _thread
import time

from casemate.cli import jsontext
from casemate.cli.engine import filters, path_of
from casemate.errors import Error, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from casemate.cli.engine import Engine
    from casemate.cli.session import Session

#: What has not been told for so long is not shown any more.
_STALE_S = 3.0
#: The list waits so long for the first of everything.
_FIRST_S = 3.0


class Feed:
    """One container: what was told of it last, or why nothing is."""

    __slots__ = ("_at", "_first", "_told", "container", "error", "left")

    def __init__(self, container: str) -> None:
        self.container = container
        self.error: Error | None = None
        self.left = False
        self._told: dict[str, Any] | None = None
        self._at = 0.0
        self._first = _thread.allocate_lock()
        self._first.acquire()

    def follow(self, engine: Engine, *, stream: bool) -> None:
        """Take what is told until the end. For a thread of its own."""
        path = path_of("containers", self.container, "stats", stream="1" if stream else "0")
        try:
            for document in engine.documents("GET", path):
                self._told, self._at = document, time.monotonic()
                self._has_come()
                if self.left:
                    break
        except Error as error:
            self.error = error
        finally:
            self._has_come()
            engine.finish()

    def _has_come(self) -> None:
        if self._first.locked():
            self._first.release()

    def wait(self, until: float) -> None:
        """Wait for the first news, at most ``until`` that time of the monotonic clock."""
        self._first.acquire(timeout=max(0.0, until - time.monotonic()))

    def row(self, *, lasting: bool) -> dict[str, Any]:
        """Return the container as a row; what is ``lasting`` is shown however old it is."""
        fresh = lasting or time.monotonic() - self._at < _STALE_S
        return {"container": self.container, "stats": self._told if fresh else None}


class Feeds:
    """The containers that are followed, in the order in which they came."""

    def __init__(self, session: Session, *, stream: bool) -> None:
        self._session = session
        self._stream = stream
        self._feeds: dict[str, Feed] = {}

    def add(self, container: str) -> None:
        """Follow one more, unless it is followed."""
        if container in self._feeds:
            return
        feed = self._feeds[container] = Feed(container)
        engine = self._session.another_engine()
        _thread.start_new_thread(_follow, (feed, engine, self._stream))

    def remove(self, container: str) -> None:
        """Follow one less."""
        feed = self._feeds.pop(container, None)
        if feed:
            feed.left = True

    def wait(self) -> None:
        """Wait until something was told of each, or long enough."""
        until = time.monotonic() + _FIRST_S
        for feed in list(self._feeds.values()):
            feed.wait(until)

    def errors(self) -> list[Error]:
        """Return what keeps containers from being followed."""
        return [feed.error for feed in list(self._feeds.values()) if feed.error]

    def rows(self) -> list[dict[str, Any]]:
        """Return all as rows."""
        return [feed.row(lasting=not self._stream) for feed in list(self._feeds.values())]

    def __len__(self) -> int:
        return len(self._feeds)


def _follow(feed: Feed, engine: Engine, stream: bool) -> None:
    feed.follow(engine, stream=stream)


class Changes:
    """Containers come and go: a thread that listens and tells ``feeds``."""

    def __init__(self, session: Session, feeds: Feeds, *, everything: bool) -> None:
        self._feeds = feeds
        self._come = ("start", "create") if everything else ("start",)
        self._gone = ("destroy",) if everything else ("destroy", "die")
        self.error: Error | None = None
        self.ended = False
        query = path_of("events", filters=filters([("type", "container")]))
        self._engine = session.another_engine()
        # Asked before the list is, so that nothing is missed in between.
        self._reply = self._engine.request("GET", query)
        _thread.start_new_thread(self._listen, ())

    def _listen(self) -> None:
        try:
            for line in self._reply.lines():
                event = jsontext.loads(line)
                container = str(event["Actor"]["ID"])
                if event["Action"] in self._come:
                    self._feeds.add(container)
                elif event["Action"] in self._gone:
                    self._feeds.remove(container)
        except Unavailable:
            pass  # the engine has left
        except Error as error:
            self.error = error
        finally:
            self.ended = True
            self._engine.finish()
