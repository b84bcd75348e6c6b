"""Clients that ask an engine for all kinds of things while it dies and comes back, and a ledger."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from casemate.errors import Conflict, Error, NotFound, Unavailable
from casemate.http.client import Client
from support.engine import PREFIX, RunningEngine
from support.hubs import TAGS

RETRIES = 2
#: Who is cut off in the middle of a request hears nothing of its outcome.
CUT_OFF = (OSError, ValueError, Unavailable)
_ON_FAILURE = {"Name": "on-failure", "MaximumRetryCount": RETRIES}
_PAUSE_S = 0.02


class Ledger:
    """What engines have acknowledged. What was cut off is in none of the lists."""

    def __init__(self) -> None:
        #: Containers that must be there: with their exit code, None while it was never started.
        self.containers: dict[str, int | None] = {}
        #: Containers that must not be there.
        self.removed: set[str] = set()
        self.images: set[str] = set()
        #: What a verb may have made of a container: one value when it was answered.
        self.status = {"running"}
        self.names = {"renamed"}
        #: Containers that fail and are started again.
        self.failing: set[str] = set()
        self.counts: Counter[str] = Counter()


class Clients:
    """Threads that ask until they are told to stop, by then of an engine that lives."""

    def __init__(self, engine: RunningEngine, ledger: Ledger, hub: str, seed: int) -> None:
        self._engine, self._ledger, self._hub = engine, ledger, hub
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        works = [self.lives, self.lives, self.commits, self.pulls, self.execs, self.vanishes]
        works += [self.pauses, self.renames, self.restarts, self.fails]
        self._threads = [
            threading.Thread(target=self._run, args=(work, random.Random(seed * 100 + n)))
            for n, work in enumerate(works)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Let each come to the end of what it does."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        if self._errors:
            raise self._errors[0]

    def _run(self, work: Callable[[Client, random.Random], None], dice: random.Random) -> None:
        client = Client(f"unix://{self._engine.socket}", PREFIX)
        while not self._stop.is_set() and not self._errors:
            try:
                work(client, dice)
            except CUT_OFF:
                client.close()
                self._stop.wait(_PAUSE_S)
            except (Error, AssertionError) as error:
                self._errors.append(error)
        client.close()

    def _insist(self, client: Client, path: str) -> Any:
        """POST until there is an answer."""
        while True:
            try:
                return client.post(path)
            except CUT_OFF:
                client.close()
                self._stop.wait(_PAUSE_S)

    # ---- what they do ----

    def lives(self, client: Client, dice: random.Random) -> None:
        code = dice.randrange(1, 100)
        body = {"Image": "busybox", "Cmd": ["sh", "-c", f"echo said {code}; exit {code}"]}
        id_ = client.post("/containers/create", body)["Id"]
        self._ledger.containers[id_] = None
        self._ledger.counts["created"] += 1
        client.post(f"/containers/{id_}/start")
        self._ledger.containers[id_] = code
        if dice.random() < 0.5:
            assert client.post(f"/containers/{id_}/wait")["StatusCode"] == code
            self._ledger.counts["ended"] += 1
        if dice.random() < 0.6:
            del self._ledger.containers[id_]
            client.call("DELETE", f"/containers/{id_}?force=1")
            self._ledger.removed.add(id_)
            self._ledger.counts["removed"] += 1

    def vanishes(self, client: Client, dice: random.Random) -> None:
        """Its exit status is told, whichever engine sees its end and whichever removes it."""
        code = dice.randrange(1, 100)
        body = {"Image": "busybox", "Cmd": ["sh", "-c", f"exit {code}"]}
        host = {"HostConfig": {"AutoRemove": True}}
        id_ = client.post("/containers/create", {**body, **host})["Id"]
        try:
            self._insist(client, f"/containers/{id_}/start")
        except (NotFound, Conflict):
            pass  # the answer was cut off: it has ended since, or is about to vanish
        found = self._insist(client, f"/containers/{id_}/wait?condition=removed")["StatusCode"]
        assert found == code, (id_, found, code)
        self._ledger.removed.add(id_)
        self._ledger.counts["vanished"] += 1

    def commits(self, client: Client, dice: random.Random) -> None:
        tag = dice.randrange(10**9)
        client.post(f"/commit?container=talker&repo=kept&tag={tag}&changes=ENV%20N%3D{tag}")
        self._ledger.images.add(f"kept:{tag}")
        self._ledger.counts["committed"] += 1

    def pulls(self, client: Client, dice: random.Random) -> None:
        tag = dice.randrange(TAGS)
        with client.request("POST", f"/images/create?fromImage={self._hub}&tag={tag}") as reply:
            lines = [json.loads(line) for line in reply.lines()]
        if any("Status:" in line.get("status", "") for line in lines):
            self._ledger.images.add(f"{self._hub}:{tag}")
            self._ledger.counts["pulled"] += 1

    def execs(self, client: Client, dice: random.Random) -> None:
        exec_id = client.post("/containers/talker/exec", {"Cmd": ["true"]})["Id"]
        try:
            client.post(f"/exec/{exec_id}/start", {"Detach": True})
        except NotFound:
            return  # an engine knows only those that it was asked for itself
        self._ledger.counts["execs"] += 1

    def pauses(self, client: Client, dice: random.Random) -> None:
        before = client.get("/containers/still/json")["State"]["Status"]
        assert before in self._ledger.status
        verb, after = ("pause", "paused") if before == "running" else ("unpause", "running")
        self._ledger.status = {before, after}
        client.post(f"/containers/still/{verb}")
        self._ledger.status = {after}
        self._ledger.counts["paused"] += 1

    def renames(self, client: Client, dice: random.Random) -> None:
        names = {c["Names"][0].lstrip("/") for c in client.get("/containers/json")}
        (before,) = names & self._ledger.names
        after = f"renamed-{dice.randrange(10**9)}"
        self._ledger.names = {before, after}
        client.post(f"/containers/{before}/rename?name={after}")
        self._ledger.names = {after}
        self._ledger.counts["renamed"] += 1

    def restarts(self, client: Client, dice: random.Random) -> None:
        client.post("/containers/again/restart?t=0")
        self._ledger.counts["restarted"] += 1

    def fails(self, client: Client, dice: random.Random) -> None:
        body = {"Image": "busybox", "Cmd": ["sh", "-c", "echo run; exit 5"]}
        host = {"HostConfig": {"RestartPolicy": _ON_FAILURE}}
        id_ = client.post("/containers/create", {**body, **host})["Id"]
        client.post(f"/containers/{id_}/start")
        self._ledger.failing.add(id_)
        self._ledger.counts["failed"] += 1
        self._stop.wait(0.2)  # a few at a time are enough
