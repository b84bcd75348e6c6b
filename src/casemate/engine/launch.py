"""Start a container: a room, its limits, its network, its plan; all undone when a part fails."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Sequence

from casemate.engine import mountplaces, mountpoints, namefiles, naming, parents, peers, volumes
from casemate.engine.bundle import file_names, identify
from casemate.engine.engine import Engine
from casemate.engine.likeness import Start, start_of
from casemate.engine.live import Live
from casemate.engine.notstarted import START, NotStarted, explained
from casemate.engine.publishing import Joined
from casemate.engine.records import Record
from casemate.engine.rooms import Room, discard
from casemate.errors import from_os
from casemate.network.binding import Ours
from casemate.network.model import Endpoint
from casemate.supervise.connection import Gone
from casemate.supervise.shim import Shim, Started, StepFailed


async def launch(engine: Engine, record: Record, live: Live) -> None:
    """Start the container, which does not run; the caller holds its lock.

    What ``record`` says of restarts is written down with the start. Raises NotStarted, or what
    making the bundle, joining networks and binding ports raise.
    """
    if live.leaving is not None:
        await asyncio.shield(live.leaving.gone)  # until then it has the root mounted
    try:
        await _start(engine, record, live)
    except BaseException as error:
        _failed(engine, record, error)
        raise


async def _start(engine: Engine, record: Record, live: Live) -> None:
    with contextlib.ExitStack() as undo:
        undo.callback(live.drop_clients)
        mountpoints.check_propagation(record.fixed.mounts)
        volumes.check_sources(engine, record)
        if record.fixed.host.auto_remove:
            # Its root was mounted volatile: by the run that a restart ends, or by a start that an
            # engine did not live to finish.
            engine.snapshots.reuse(record.id)
        try:
            root = engine.root(record)
            mountplaces.check(engine, record, root)
            identity = identify(engine, record, root)
        except OSError as error:
            raise from_os(error, f"cannot start container {record.name}") from error
        shared = undo.enter_context(peers.held(engine, record))
        start = start_of(engine, record, root, identity, shared)
        joined = engine.networking.join(record, _taken(engine))
        undo.callback(joined.close)
        left = undo.enter_context(contextlib.ExitStack())
        left.callback(engine.networking.leave, record)
        write_files(engine, record, joined.endpoints)
        try:
            await _in_room(engine, record, live, start, joined)
        except StepFailed as failure:
            raise explained(failure, start.plan, START, 125) from failure
        except Gone as error:
            raise NotStarted(
                f"cannot start container {record.name}: its supervisor ended", 125
            ) from error
        left.pop_all()
        engine.rooms.refill()


async def _in_room(
    engine: Engine, record: Record, live: Live, start: Start, joined: Joined
) -> None:
    room = await engine.rooms.take(
        start.plan,
        parents.ready(engine, record),
        fresh=any(point.of_host for point in record.fixed.mounts),
        peer=start.peers["pid"].descriptor if "pid" in start.peers else -1,
    )
    try:
        await _enter(engine, record, live, room, start, joined)
    except BaseException:
        await discard(room)
        live.shim, live.cgroup = None, ""
        parents.give_back(engine, room.cgroup.path)
        raise


async def _enter(
    engine: Engine, record: Record, live: Live, room: Room, start: Start, joined: Joined
) -> None:
    """Give the room its limits, its network and its plan, and write down that it runs."""
    shim = room.shim
    live.cgroup = room.cgroup.path
    room.cgroup.apply(start.limits)
    # Written down first: after a crash this is how what was made is found again.
    engine.records.change(record.id, cgroup=room.cgroup.path, ports=joined.records())
    if joined.endpoints:
        await engine.networking.attach(joined.endpoints, shim.room_pid, shim.take_network())
        await naming.serve(engine, record, shim)
    live.shim = shim
    live.next_exit()
    async with _relayed(shim, live.next_number(), joined):
        started = await _with_clients(engine, record, live, room, start)
    engine.records.change(
        record.id,
        status="running",
        pid=started.pid,
        exit_code=0,
        error="",
        oom_killed=False,
        started_ns=started.at_ns,
        finished_ns=0,
        stopped=False,
        restart_count=record.state.restart_count,
        backoff_ms=record.state.backoff_ms,
    )


@contextlib.asynccontextmanager
async def _relayed(shim: Shim, number: int, joined: Joined) -> AsyncIterator[None]:
    """Have the ports open before the container runs; free them again if it never does."""
    if not joined.published:
        yield
        return
    await shim.relay(number, *joined.relay())
    try:
        yield
    except BaseException:
        with contextlib.suppress(Gone, OSError):
            await shim.unrelay(number)
        raise


async def _with_clients(
    engine: Engine, record: Record, live: Live, room: Room, start: Start
) -> Started:
    """Start it with the streams of those who have waited for that."""
    clients, live.clients = live.clients, []
    try:
        for client in clients:
            await room.shim.attach(0, *client)
        return await _released(engine, record, start, room)
    finally:
        for client in clients:
            os.close(client.descriptor)


async def _released(engine: Engine, record: Record, start: Start, room: Room) -> Started:
    passed = [start.peers[kind].descriptor for kind in start.plan.registers]
    state = engine.state_directory(record.id)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink("exit", dir_fd=state)
        return await room.shim.start(start.file, state, passed)
    finally:
        os.close(state)


def _failed(engine: Engine, record: Record, error: BaseException) -> None:
    """Write down why the container did not start, as inspect shows it."""
    code = error.exit_code if isinstance(error, NotStarted) else 128
    if isinstance(error, asyncio.CancelledError) or engine.records.get(record.id) is None:
        return
    status = "exited" if record.state.started_ns else "created"
    engine.records.learn(
        record.id, status=status, exit_code=code, error=str(error), cgroup="", ports=(), pid=0
    )


def write_files(engine: Engine, record: Record, endpoints: Sequence[Endpoint]) -> None:
    """Write the files by which the container knows names. Raises Error."""
    directory = engine.paths.container(record.id)
    contents = namefiles.contents(record, endpoints, peers.hostname(engine, record))
    wanted = file_names(record)
    try:
        for name, text in contents.items():
            if name in wanted:
                _fill(f"{directory}/{name}", text.encode())
    except OSError as error:
        raise from_os(error, f"cannot write the files of container {record.name}") from error


def _fill(path: str, data: bytes) -> None:
    """Have ``data`` in a file that is the same for all the container's life: it is mounted by its
    inode.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # Whoever cuts a file to write it anew waits for the disk.
        if os.read(file, len(data) + 1) != data:
            os.ftruncate(file, 0)
            os.pwrite(file, data, 0)
    finally:
        os.close(file)


def _taken(engine: Engine) -> Ours:
    """Return what tells whether a port of the host is another container's."""

    @functools.cache
    def held() -> set[tuple[str, int]]:
        return {(p.protocol, p.host_port) for r in engine.records.all() for p in r.state.ports}

    return lambda protocol, _address, port: (protocol, port) in held()
