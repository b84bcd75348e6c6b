"""What tests of containers' lives share: states that stay, and what events have told."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import Any
from urllib.parse import quote

from casemate.database import Database
from casemate.engine.records import Records
from casemate.errors import Error
from casemate.http.client import Client
from support.engine import PREFIX, RunningEngine, eventually


def status(engine: RunningEngine, id_: str) -> str:
    """Return the container's state as inspect tells it."""
    found: str = engine.inspect(id_)["State"]["Status"]
    return found


def reaches(engine: RunningEngine, id_: str, wanted: str) -> None:
    """Wait until the container is in the state ``wanted``."""
    eventually(lambda: status(engine, id_), lambda found: found == wanted)


def restarts(engine: RunningEngine, id_: str, count: int) -> None:
    """Wait until the container was started again ``count`` times."""
    eventually(lambda: engine.inspect(id_)["RestartCount"], lambda found: found >= count)


def wait_longest(engine: RunningEngine, id_: str) -> None:
    """Have a container that is restarting wait as long as it does after many failures."""
    engine.stop()
    database = Database(f"{engine.root}/state.db")
    records = Records(database)
    records.change(records.find(id_).id, backoff_ms=60_000, finished_ns=time.time_ns())
    database.close()
    engine.start()


def events(engine: RunningEngine, since_ns: int, **filters: list[str]) -> list[dict[str, Any]]:
    """Return the events of containers since then."""
    since = f"{since_ns // 10**9}.{since_ns % 10**9:09}"
    query = f"since={since}&until={time.time():.9f}"
    chosen = quote(json.dumps({"type": ["container"], **filters}))
    with engine.client.request("GET", f"/events?{query}&filters={chosen}") as reply:
        return [json.loads(line) for line in reply.lines()]


def actions(engine: RunningEngine, since_ns: int) -> list[str]:
    """Return what happened to containers since then, in order."""
    return [event["Action"] for event in events(engine, since_ns)]


class Removal:
    """A forced removal that does not get on: the container's supervisor stands still."""

    def __init__(self, engine: RunningEngine, id_: str) -> None:
        self._supervisor = engine.supervisor(id_)
        os.kill(self._supervisor, signal.SIGSTOP)
        self._thread = threading.Thread(target=self._run, args=(engine, id_))
        self._thread.start()
        reaches(engine, id_, "removing")

    def _run(self, engine: RunningEngine, id_: str) -> None:
        client = Client(f"unix://{engine.socket}", PREFIX)
        try:
            client.call("DELETE", f"/containers/{id_}?force=1")
        except Error as error:
            self.error = error
        finally:
            client.close()

    def end(self) -> None:
        """Let it come to its end."""
        os.kill(self._supervisor, signal.SIGCONT)
        self._thread.join(30)
        assert not self._thread.is_alive() and not hasattr(self, "error")
