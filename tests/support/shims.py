"""A real shim without an engine: small plans over a busybox root, and clients of its streams.

CASEMATE_SHIM names another shim to test than the one of this checkout, such as one that was built
with sanitizers.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from casemate.engine.logfile import Entry, LogReader
from casemate.http.framing import Demultiplexer
from casemate.linux.mount import (
    AT_EMPTY_PATH,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    OPEN_TREE_CLONE,
)
from casemate.runtime.namespaces.container import CLONE_FLAGS
from casemate.runtime.plan import Plan, Stdio
from casemate.runtime.steps import Step, step
from casemate.supervise import protocol
from casemate.supervise.program import Program
from casemate.supervise.shim import Exit, Shim, Started

P = ParamSpec("P")
T = TypeVar("T")

LIMIT_S = 60.0
SHIM_SOURCE = Path(__file__).resolve().parents[2] / "shim"
#: The namespaces of an ordinary container.
NAMESPACES = ("mount", "pid", "network", "uts", "ipc")
ALL = protocol.ATTACH_STDIN | protocol.ATTACH_STDOUT | protocol.ATTACH_STDERR
FRAMED = ALL | protocol.ATTACH_FRAMED
OUTPUT = protocol.ATTACH_STDOUT | protocol.ATTACH_STDERR

APPLETS = (
    "sh cat echo sleep kill true false id ls stat head dd yes stty nc wc tr tail readlink tty ps"
    " sha256sum printf seq"
)

_PATH = os.O_PATH | os.O_DIRECTORY


def build(target: Path) -> str:
    """Compile the shim of this checkout into ``target``; CASEMATE_SHIM stands in for it."""
    asked = os.environ.get("CASEMATE_SHIM")
    if asked:
        return asked
    sys.path.insert(0, str(SHIM_SOURCE))
    try:
        from build import build as compiled  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(SHIM_SOURCE))
    compiled(SHIM_SOURCE, target)
    return str(target)


def asynchronous(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run ``test`` in an event loop of its own, in which its lab lets go of everything."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def whole() -> None:
            try:
                await asyncio.wait_for(test(*args, **kwargs), LIMIT_S)
            finally:
                lab = kwargs.get("lab")
                if isinstance(lab, Lab):
                    lab.let_go()

        asyncio.run(whole())

    return run


def busybox_root(place: Path) -> Path:
    """Make a root file system of a static busybox in ``place``."""
    root = place / "root"
    for name in ("bin", "proc", "dev", "sys", "tmp", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin" / "busybox")
    for name in APPLETS.split():
        (root / "bin" / name).symlink_to("busybox")
    return root


def rooted(root: Path, place: Path) -> Iterator[Step]:
    """Enter ``root`` with its own /proc, /dev and terminals; register ``pts`` holds those."""
    yield step("umask", 0)
    yield step("open", "host", "/", _PATH)
    yield step("setattr", "host", 0, 0, MS_PRIVATE, 1)
    yield step("close", "host")
    yield step("open", "source", str(root), _PATH)
    yield step("open_tree", "root", "source", "", OPEN_TREE_CLONE | AT_EMPTY_PATH)
    yield step("close", "source")
    yield step("mount_at", "root", str(place))
    yield from mounted("proc", "proc", "/proc")
    yield from mounted("dev", "tmpfs", "/dev")
    for name, minor in (("null", 3), ("zero", 5), ("full", 7)):
        yield step("mknod", "dev", name, 0o020666, 1 << 32 | minor, 0, 0)
    yield step("mknod", "dev", "tty", 0o020666, 5 << 32, 0, 0)
    yield step("symlink", "pts/ptmx", "dev", "ptmx")
    yield from mounted("pts", "devpts", "/dev/pts", "newinstance", "ptmxmode=0666", "gid=5")
    yield step("setattr", "root", 0, MOUNT_ATTR_RDONLY, 0, 0)


def mounted(register: str, kind: str, at: str, *options: str) -> Iterator[Step]:
    """Mount a new file system of type ``kind``."""
    yield step("fsopen", "fs", kind)
    for option in options:
        key, _, value = option.partition("=")
        yield step("fsconfig", "fs", key, value)
    yield step("fsmount", register, "fs", 0)
    yield step("close", "fs")
    yield step("target", "place", "root", at, 2, 0o755)
    yield step("move_mount", register, "place")
    yield step("close", "place")


ENV = ("PATH=/bin", "TERM=xterm")


class Lab:
    """Makes tasks over one root file system, and ends what is left of them."""

    def __init__(self, program: Program, place: Path, root: Path) -> None:
        self.program = program
        self.place = place
        self.root = root
        self.mount_place = place / "mnt"
        self.mount_place.mkdir(exist_ok=True)
        self._number = 0
        self.tasks: list[Task] = []
        self.clients: list[Client] = []
        with open(f"/proc/self/fd/{program.descriptor}", "rb") as file:
            #: Sanitizers take memory of their own.
            self.sanitized = b"__asan_" in file.read()
        self.shims: list[Shim] = []
        self.descriptors: list[int] = []

    async def room(self, namespaces: Sequence[str] = NAMESPACES) -> Task:
        """Return a task whose room waits."""
        self._number += 1
        state = self.place / f"state{self._number}"
        state.mkdir()
        flags = sum(CLONE_FLAGS[name] for name in namespaces)
        task = Task(self, Shim.spawn(self.program, flags), state, namespaces)
        self.tasks.append(task)
        self.shims.append(task.shim)
        await task.shim.ready
        return task

    async def run(
        self,
        *args: str,
        stdio: Stdio | None = None,
        namespaces: Sequence[str] = NAMESPACES,
        before: Sequence[Step] = (),
        init: bool = False,
    ) -> Task:
        """Return a task whose first process is ``args``, started."""
        task = await self.room(namespaces)
        await task.start(*args, stdio=stdio or Stdio(), before=before, init=init)
        return task

    async def talk(
        self, *args: str, flags: int = FRAMED, stdio: Stdio | None = None, init: bool = False
    ) -> tuple[Task, Client]:
        """Return a task that runs ``args``, and a client that has been there from the start."""
        task = await self.room()
        client = await task.attach(flags)
        await task.start(*args, stdio=stdio or Stdio(), init=init)
        return task, client

    def connect(self, state: Path) -> Shim:
        """Return a second connection to the shim of ``state``. Raises NotFound."""
        descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
        try:
            shim = Shim.connect(descriptor)
        finally:
            os.close(descriptor)
        self.shims.append(shim)
        return shim

    def let_go(self) -> None:
        """Close all connections, as the end of an engine does."""
        for client in self.clients:
            client.close()
        for shim in self.shims:
            shim.close()
        while self.descriptors:
            os.close(self.descriptors.pop())

    def end(self) -> None:
        """Kill every shim that is left, and wait for it."""
        for task in self.tasks:
            task.end()


class Task:
    """One shim, with the directory of its state."""

    def __init__(self, lab: Lab, shim: Shim, state: Path, namespaces: Sequence[str]) -> None:
        self.lab = lab
        self.shim = shim
        self.state = state
        self.namespaces = namespaces
        self._number = 0

    def steps(
        self, *args: str, stdio: Stdio, before: Sequence[Step] = (), init: bool = False
    ) -> tuple[Step, ...]:
        """Return the steps of a container that runs ``args``."""
        return (
            *rooted(self.lab.root, self.lab.mount_place),
            *((step("pty", "tty", "pts", 24, 80),) if stdio.tty else ()),
            step("pivot", "root"),
            *before,
            *((step("init"),) if init else ()),
            step("exec", args, ENV),
        )

    async def start(
        self, *args: str, stdio: Stdio, before: Sequence[Step] = (), init: bool = False
    ) -> Started:
        """Start the first process."""
        steps = self.steps(*args, stdio=stdio, before=before, init=init)
        return await self.start_plan(Plan(steps, stdio=stdio))

    async def start_plan(self, plan: Plan) -> Started:
        """Start the first process by a plan of the caller's."""
        return await self.shim.start(plan.start_file(), self.state_descriptor())

    def state_descriptor(self) -> int:
        """Return the open state directory; it is closed with the lab."""
        descriptor = os.open(self.state, os.O_RDONLY | os.O_DIRECTORY)
        self.lab.descriptors.append(descriptor)
        return descriptor

    def next(self) -> int:
        """Return a number for an exec or relay."""
        self._number += 1
        return self._number

    async def talk(
        self, *args: str, flags: int = FRAMED, stdio: Stdio | None = None
    ) -> tuple[int, Client]:
        """Return the number of an exec of ``args``, and a client from its start."""
        number = self.next()
        client = await self.attach(flags, number)
        await self.execute(*args, number=number, stdio=stdio)
        return number, client

    async def execute(
        self, *args: str, stdio: Stdio | None = None, number: int | None = None
    ) -> int:
        """Start one more process inside, and return its number."""
        number = number or self.next()
        await self.shim.execute(number, self.exec_plan(*args, stdio=stdio).whole_file())
        return number

    def exec_plan(self, *args: str, stdio: Stdio | None = None) -> Plan:
        """Return the plan of an exec of ``args``."""
        stdio = stdio or Stdio(log=False)
        flags = sum(CLONE_FLAGS[name] for name in self.namespaces if name != "pid")
        steps = [step("setns", "container", flags)]
        if stdio.tty:
            steps.append(step("open", "pts", "/dev/pts", os.O_DIRECTORY))
            steps.append(step("pty", "tty", "pts", 24, 80))
        steps.append(step("exec", args, ENV))
        return Plan(tuple(steps), registers=("container",), stdio=stdio)

    async def attach(
        self, flags: int = FRAMED, number: int = 0, *, buffer_bytes: int | None = None
    ) -> Client:
        """Return a client that is attached to process ``number``.

        ``buffer_bytes`` is how much the kernel keeps for it.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            if buffer_bytes is not None:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
            try:
                await self.shim.attach(number, theirs.fileno(), flags)
            except BaseException:
                ours.close()
                raise
        client = Client(ours, framed=bool(flags & protocol.ATTACH_FRAMED))
        self.lab.clients.append(client)
        return client

    async def exit(self, number: int = 0) -> Exit:
        """Wait for the end of process ``number``."""
        return await self.shim.process(number).exited

    def assert_small(self, most_bytes: int) -> None:
        """Fail when the supervisor has ever had more than ``most_bytes`` in memory."""
        status = Path(f"/proc/{self.shim.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found and (self.lab.sanitized or int(found[1]) * 1024 < most_bytes), found

    def log(self) -> list[Entry]:
        """Return the entries of the log."""
        reader = LogReader(str(self.state))
        try:
            return list(reader.entries())
        finally:
            reader.close()

    def record(self) -> tuple[int, int, int, int] | None:
        """Return what the exit record says: status, start and end in ns, bytes of log lost."""
        try:
            status, started, ended, lost = map(int, (self.state / "exit").read_text().split())
        except FileNotFoundError:
            return None
        return status, started, ended, lost

    def end(self) -> None:
        """Kill the shim; its room goes with it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.shim.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.shim.pid, 0)


class Client:
    """One end of a connection to a process's streams."""

    def __init__(self, sock: socket.socket, *, framed: bool) -> None:
        self.sock = sock
        sock.setblocking(False)
        self._framed = framed
        self._demultiplexer = Demultiplexer()
        self.received: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}

    async def send(self, data: bytes) -> None:
        """Send input."""
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def half_close(self) -> None:
        """Say that no more input comes."""
        self.sock.shutdown(socket.SHUT_WR)

    async def _receive(self) -> bool:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 1 << 16)
        if self._framed:
            for stream, piece in self._demultiplexer.feed(data):
                self.received[stream] += piece
        else:
            self.received[1] += data
        return bool(data)

    async def until(self, text: bytes, stream: int = 1) -> bytes:
        """Wait until ``text`` was received; returns everything so far."""
        while text not in self.received[stream]:
            assert await self._receive(), f"ended before {text!r}: {self.received}"
        return bytes(self.received[stream])

    async def rest(self) -> tuple[bytes, bytes]:
        """Wait for the end, and return all output and all errors."""
        while await self._receive():
            pass
        self.close()
        return bytes(self.received[1]), bytes(self.received[2])

    def close(self) -> None:
        """Vanish."""
        self.sock.close()


async def within(awaitable: Awaitable[T], seconds: float = 20) -> T:
    """Return the result of ``awaitable``; a test that hangs says where."""
    return await asyncio.wait_for(awaitable, seconds)
