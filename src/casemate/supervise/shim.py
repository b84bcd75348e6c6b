"""The engine's side of one shim: a room that waits, then a task that runs, with its execs."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from casemate.errors import Error, NotFound, Unavailable
from casemate.supervise import protocol
from casemate.supervise.connection import Connection, Descriptors, Gone
from casemate.supervise.program import Program
from casemate.supervise.protocol import Message, RelayTarget


class Exit(NamedTuple):
    """How a process ended: its wait status, and when, in nanoseconds since the epoch."""

    status: int
    at_ns: int

    @property
    def code(self) -> int:
        """The exit code as a shell shows it: 128 + n when signal n ended the process."""
        if os.WIFSIGNALED(self.status):
            return 128 + os.WTERMSIG(self.status)
        return os.WEXITSTATUS(self.status)


class Started(NamedTuple):
    """A process that runs: its pid on the host, and since when, in nanoseconds since the epoch."""

    pid: int
    at_ns: int


class StepFailed(Error):
    """A step of a plan failed, for the reason ``code`` (an errno).

    ``number`` is its place in the list ``part`` of the plan (one of protocol.PARTS), ``about`` what
    it acted on.
    """

    def __init__(self, code: int, number: int, about: str, part: str) -> None:
        super().__init__(f"{about}: {os.strerror(code)}" if about else os.strerror(code))
        self.code = code
        self.number = number
        self.about = about
        self.part = part


def _failure(message: Message) -> StepFailed:
    about = message.payload.decode("utf-8", "replace")
    part = protocol.PARTS[message.b >> 32]
    return StepFailed(message.a, message.b & 0xFFFFFFFF, about, part)


class _Process:
    """What is known of one process: futures for its start and its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.started: asyncio.Future[Started] = loop.create_future()
        self.exited: asyncio.Future[Exit] = loop.create_future()

    def fail(self, error: Error) -> None:
        for future in (self.started, self.exited):
            if not future.done():
                future.set_exception(error)
                future.exception()  # seen, even when nobody waits for it


class Shim:
    """One shim. ``first`` is the container's first process, others are execs.

    ``gone`` is done when the shim itself has ended and is reaped.
    """

    def __init__(self, sock: socket.socket, pid: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.pid = pid
        self.room_pid = 0
        self._netlink: int | None = None
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.first = _Process(self._loop)
        self._others: dict[int, _Process] = {}
        self._base = 0
        self._pidfd = os.pidfd_open(pid)
        self._loop.add_reader(self._pidfd, self._ended)
        self._connection = Connection(sock, self._event, self._closed)

    @classmethod
    def spawn(cls, program: Program, namespaces: int, peer: int = -1) -> Shim:
        """Start a shim whose room has new ``namespaces``; it is of use once ``ready`` is done.

        ``peer`` is a pidfd of the process whose process namespace it shares, -1 for none.
        """
        pid, sock = program.spawn(namespaces, peer)
        return cls(sock, pid)

    @classmethod
    def connect(cls, state: int) -> Shim:
        """Connect to the living shim of the state directory ``state`` (a descriptor).

        Raises NotFound when none is there.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(f"/proc/self/fd/{state}/control.sock")
            peer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            shim = cls(sock, struct.unpack("iII", peer)[0])
        except (FileNotFoundError, ConnectionRefusedError, ProcessLookupError) as error:
            sock.close()
            raise NotFound("no supervisor is alive") from error
        shim.ready.set_result(None)
        # Numbers begin anew with each engine; what is left of the one before goes by other names.
        shim._base = secrets.randbelow(0xFFFF) + 1 << 16
        return shim

    # ---- requests ----

    async def prepare(self, plan: bytes) -> None:
        """Run the plan's outside steps, and its inside steps in the room, which goes on waiting.

        Returns when all of it is done. Raises StepFailed or Gone.
        """
        try:
            await self._request(Message(protocol.REQ_PREPARE), plan)
        except Gone as error:
            failure = self.first.started.exception() if self.first.started.done() else None
            raise failure or error from None

    async def start(self, plan: bytes, state: int, descriptors: Sequence[int] = ()) -> Started:
        """Start the container's first process. Raises StepFailed (also when what was prepared has
        failed) or Gone.

        ``state`` is its state directory; ``descriptors`` are what the plan's registers hold.
        """
        if not self.first.started.done():
            self._send_plan(Message(protocol.REQ_START), plan, (state, *descriptors))
        return await asyncio.shield(self.first.started)

    async def execute(self, number: int, plan: bytes) -> Started:
        """Start one more process, known as ``number`` from 1 on. Raises StepFailed or Gone."""
        if self._connection.closed:
            raise Gone("the supervisor is gone")
        process = self.process(number)
        self._send_plan(Message(protocol.REQ_EXEC, self._id(number)), plan, ())
        return await asyncio.shield(process.started)

    async def nursery(self, plan: bytes) -> None:
        """Keep a process ready in the container's cgroups, from which execs are born."""
        await self._request(Message(protocol.REQ_NURSERY), plan)

    async def kill(self, number: int, signal_number: int) -> None:
        """Send a signal. Raises OSError (ESRCH when the process has ended)."""
        await self._connection.request(Message(protocol.REQ_KILL, self._id(number), signal_number))

    async def attach(self, number: int, client: int, flags: int, keys: bytes = b"") -> None:
        """Give the stream socket ``client`` to the process's streams. Raises OSError (ESRCH).

        ``keys`` that it sends to a terminal, KEYS_MAX at most, end the attachment.
        """
        message = Message(protocol.REQ_ATTACH, self._id(number), flags, payload=keys)
        await self._connection.request(message, [client])

    async def resize(self, number: int, rows: int, columns: int) -> None:
        """Set the terminal's size. Raises OSError (ENOTTY without a terminal)."""
        message = Message(protocol.REQ_RESIZE, self._id(number), rows, columns)
        await self._connection.request(message)

    async def relay(
        self, number: int, sockets: Sequence[int], targets: Sequence[RelayTarget]
    ) -> None:
        """Relay what arrives at the bound ``sockets`` to ``targets``, until the container ends.

        Raises OSError (ENOSPC for more than some thousand). Sockets and targets belong together.
        """
        for at in range(0, len(sockets), protocol.MAX_DESCRIPTORS):
            some = slice(at, at + protocol.MAX_DESCRIPTORS)
            payload = b"".join(t.encode() for t in targets[some])
            await self._connection.request(
                Message(protocol.REQ_RELAY, self._id(number), payload=payload), sockets[some]
            )

    async def unrelay(self, number: int) -> None:
        """End the relay ``number``, or all of them for 0; their ports are free then.

        Raises OSError (ESRCH).
        """
        await self._connection.request(Message(protocol.REQ_UNRELAY, self._id(number)))

    async def open_network(self) -> int:
        """Return a new netlink socket in the container's network; the caller closes it.

        Raises OSError (ESRCH when the container has ended).
        """
        answer = await self._connection.request(Message(protocol.REQ_NETLINK))
        if not answer:
            raise Unavailable("the supervisor could not pass on a netlink socket")
        return answer[0]

    async def forget(self, number: int) -> None:
        """Let go of the exec ``number``, which has ended."""
        self._others.pop(self._id(number), None)
        await self._connection.request(Message(protocol.REQ_FREE, self._id(number)))

    async def refresh(self) -> None:
        """Learn what runs and what has ended: after ``connect``."""
        await self._connection.request(Message(protocol.REQ_STATUS))

    def process(self, number: int) -> _Process:
        """Return what is known of process ``number`` (0: the first)."""
        if number == 0:
            return self.first
        return self._others.setdefault(self._id(number), _Process(self._loop))

    def kill_hard(self) -> None:
        """End the shim, and by that its room: for a room that is of no use any more."""
        if not self.gone.done():
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the shim; a started container goes on under it, a room that waits ends."""
        self._connection.close()
        self._close_network()
        if not self.gone.done():
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self.gone.set_result(None)

    @property
    def has_network(self) -> bool:
        """Whether there is a netlink socket to take; without free descriptors it gets lost."""
        return self._netlink is not None

    def take_network(self) -> int:
        """Return the netlink socket in the room's network namespace; the caller closes it.

        Raises Unavailable when it was taken already, or the room has no network of its own.
        """
        descriptor, self._netlink = self._netlink, None
        if descriptor is None:
            raise Unavailable("the room has no netlink socket")
        return descriptor

    def _close_network(self) -> None:
        if self._netlink is not None:
            os.close(self._netlink)
            self._netlink = None

    # ---- plumbing ----

    def _id(self, number: int) -> int:
        """Return what the shim calls process or relay ``number``."""
        return (self._base + number) & 0xFFFFFFFF if number else 0

    async def _request(self, message: Message, plan: bytes) -> Descriptors:
        descriptor = _memory(plan)
        try:
            answer = self._connection.request(message, [descriptor])
        finally:
            os.close(descriptor)
        return await answer

    def _send_plan(self, message: Message, plan: bytes, descriptors: Sequence[int]) -> None:
        descriptor = _memory(plan)
        try:
            self._connection.send(message, [descriptor, *descriptors])
        except Gone:
            pass  # what it has said before comes first: it may say why
        finally:
            os.close(descriptor)

    def _event(self, message: Message, descriptors: Descriptors) -> None:
        process = self._others.get(message.id) if message.id else self.first
        if process is None:
            return  # started by an engine before this one
        if message.kind == protocol.EV_READY:
            self.room_pid = message.a
            if descriptors:
                self._netlink = descriptors[0]
            if not self.ready.done():
                self.ready.set_result(None)
        elif message.kind in (protocol.EV_STARTED, protocol.EV_STATUS):
            if message.id == 0:
                self.room_pid = message.a
            if not process.started.done():
                process.started.set_result(Started(message.a, message.b))
        elif message.kind == protocol.EV_FAILED:
            failure = _failure(message)
            process.fail(failure)
            if message.id == 0 and not self.ready.done():
                self.ready.set_exception(failure)
                self.ready.exception()
        elif message.kind == protocol.EV_EXITED and not process.exited.done():
            process.exited.set_result(Exit(message.a, message.b))

    def _closed(self) -> None:
        error = Gone("the supervisor is gone")
        for process in (self.first, *self._others.values()):
            process.fail(error)
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()
        self._close_network()

    def _ended(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # started by an engine before this one: somebody else reaps it
        if not self.gone.done():
            self.gone.set_result(None)


def _memory(data: bytes) -> int:
    """Return a memory file that holds ``data``."""
    descriptor = os.memfd_create("plan", os.MFD_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        os.close(descriptor)
        raise Unavailable(f"cannot store a plan: {error.strerror}") from error
    return descriptor
