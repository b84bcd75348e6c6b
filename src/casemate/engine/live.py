"""What is known of a container only while the engine runs: its shim, who waits, who is attached."""

from __future__ import annotations

import asyncio
import os
import select
from typing import Literal, NamedTuple

import msgspec

from casemate.supervise.shim import Shim


class Client(NamedTuple):
    """A stream socket to hand to the shim; ``flags`` are ATTACH_ of supervise/protocol.py.

    ``keys`` end the attachment when they are typed at a terminal.
    """

    descriptor: int
    flags: int
    keys: bytes = b""


class ExecConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of an exec request. Source: Docker Engine API v1.47, ContainerExec."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    tty: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    privileged: bool = False
    user: str = ""
    working_dir: str = ""
    console_size: tuple[int, int] | None = None
    #: Of the start, and said there once more: clients send it with both.
    detach: bool = False
    #: The same as in the path: some clients say it twice.
    container: str = ""


class Exec:
    """One more process in a container. ``number`` is how the shim knows it."""

    def __init__(self, id_: str, container: str, number: int, config: ExecConfig) -> None:
        self.id = id_
        self.container = container
        self.number = number
        self.config = config
        self.pid = 0
        self.started = False
        self.exit_code: int | None = None
        #: Set when it runs, or never will: a client may ask for something in between.
        self.settled = asyncio.Event()
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()


class Lock(asyncio.Lock):
    """A lock that knows whether somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted = 0

    async def acquire(self) -> Literal[True]:
        self._wanted += 1
        try:
            return await super().acquire()
        finally:
            self._wanted -= 1

    def is_wanted(self) -> bool:
        """Tell whether somebody waits for it. Of use in any thread."""
        return self._wanted > 0


class Live:
    """The living side of one container. ``lock`` serialises what changes its state."""

    def __init__(self, id_: str) -> None:
        self.id = id_
        self.lock = Lock()
        #: The supervisor of the present run.
        self.shim: Shim | None = None
        #: That of the last run: until it is gone, it has the root mounted.
        self.leaving: Shim | None = None
        #: The path of the cgroup of the present run, until it is gone.
        self.cgroup = ""
        #: Processes that the kernel killed for want of memory in the present run, as told so far.
        self.oom_kills = 0
        self.clients: list[Client] = []
        self.execs: dict[str, Exec] = {}
        loop = asyncio.get_running_loop()
        #: Done with the exit code at the end of the present or next run; renewed at each start.
        self.exit: asyncio.Future[int] = loop.create_future()
        #: How many are about to remove it; meanwhile it cannot be started.
        self.removals = 0
        self.removed: asyncio.Future[int] = loop.create_future()
        #: Waits to start it again, by its policy.
        self.backoff: asyncio.Task[None] | None = None
        self._last_number = 0

    def next_exit(self) -> asyncio.Future[int]:
        """Return the future of the end of the present run, or of the next one when none is."""
        if self.exit.done():
            self.exit = asyncio.get_running_loop().create_future()
        return self.exit

    def cancel_backoff(self) -> None:
        """Have it not started again by its policy."""
        if self.backoff:
            self.backoff.cancel()
            self.backoff = None

    def exited(self, code: int) -> None:
        """Tell those who wait for the end."""
        if not self.exit.done():
            self.exit.set_result(code)

    def next_number(self) -> int:
        """Return a number that no exec or relay of this container has had."""
        self._last_number += 1
        return self._last_number

    def wait_for_start(self, client: Client) -> None:
        """Keep a client until the start; those that have gone away meanwhile are let go."""
        self._let_go()
        self.clients.append(client)

    def awaited(self, flag: int) -> bool:
        """Tell whether a client that has ``flag`` waits for the start and is there."""
        self._let_go()
        return any(client.flags & flag for client in self.clients)

    def _let_go(self) -> None:
        gone = select.poll()
        for waiting in self.clients:
            gone.register(waiting.descriptor, 0)  # a hang-up is always told
        hung_up = {descriptor for descriptor, _ in gone.poll(0)}
        for waiting in self.clients:
            if waiting.descriptor in hung_up:
                os.close(waiting.descriptor)
        self.clients = [c for c in self.clients if c.descriptor not in hung_up]

    def drop_clients(self) -> None:
        """Close the connections of clients that wait for a start that will not be."""
        for client in self.clients:
            os.close(client.descriptor)
        self.clients.clear()
