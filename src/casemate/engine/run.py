"""What happens when a container ends: its status is written down and everything is given back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import NamedTuple

from casemate.engine import parents, sharing
from casemate.engine.clock import now_ns
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.live import Live
from casemate.engine.policy import Again
from casemate.engine.records import Record
from casemate.engine.threads import in_thread
from casemate.errors import Conflict, Error, NotFound
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.supervise.connection import Gone
from casemate.supervise.shim import Exit, Shim

_LOG = logging.getLogger("casemate.run")

#: What a container is said to have ended with when nobody can know: as if killed.
_LOST = 137
_INTERRUPTED = 255


class Ending(NamedTuple):
    """How a run ended. ``error`` tells when it was not by the workload's own doing."""

    code: int
    at_ns: int
    error: str = ""


async def ending(engine: Engine, id_: str, shim: Shim) -> Ending:
    """Wait for the end of the run under ``shim`` and return it."""
    try:
        exit_ = await asyncio.shield(shim.first.exited)
    except Gone:
        await asyncio.shield(shim.gone)
        return recorded(engine, id_) or lost()
    return Ending(exit_.code, exit_.at_ns)


def lost() -> Ending:
    """Return the end of a container whose supervisor did not live to see it."""
    return Ending(_LOST, now_ns(), "the container's supervisor was killed")


def interrupted() -> Ending:
    """Return the end of a container that ran when the machine stopped; as Docker says it."""
    return Ending(_INTERRUPTED, now_ns())


async def ended(
    engine: Engine, id_: str, live: Live, ending: Ending, again: Again | None = None
) -> None:
    """Write the end down, tell who waits, and give back addresses, ports and the cgroup.

    ``again`` is the restart that follows, whose time somebody else waits for. The caller holds
    the container's lock.
    """
    record = engine.records.get(id_)
    if record is None:
        return
    cgroup = engine.cgroup(record.state.cgroup) if record.state.cgroup else None
    own = sharing.of(record.fixed.host, record.fixed.config).own
    if cgroup and (ending.error or "pid" not in own):
        # Its supervisor is gone, or nothing ends with the first process: nobody else would.
        with telling(f"the processes of container {record.name}"):
            await in_thread(cgroup.kill)
    before, kills = record.state, _oom_kills(cgroup)
    record = _learn(engine, record, ending, again, oom_killed=kills > 0)
    live.shim, live.leaving = None, live.shim
    live.exited(ending.code)
    if kills > live.oom_kills:
        engine.events.publish("container", "oom", id_, attributes(record))
    live.oom_kills = 0
    _tell(engine, record, ending, ran_ns=ending.at_ns - before.started_ns)
    _end_execs(live)
    with telling(f"the addresses of container {record.name}"):
        engine.networking.leave(record)
    await engine.names.forget(id_)
    if cgroup:
        await remove_cgroup(cgroup)
    live.cgroup = ""
    if cgroup:
        with telling(f"what is above cgroup {cgroup.path}"):
            parents.give_back(engine, cgroup.path)


def _learn(
    engine: Engine, record: Record, ending: Ending, again: Again | None, *, oom_killed: bool
) -> Record:
    status = "restarting" if again else "dead" if ending.error else "exited"
    restart = {"restart_count": again.number, "backoff_ms": again.backoff_ms} if again else {}
    return engine.records.learn(
        record.id,
        status=status,
        exit_code=ending.code,
        error=ending.error,
        oom_killed=oom_killed,
        finished_ns=ending.at_ns,
        pid=0,
        ports=(),
        last_ports=record.state.ports,
        cgroup="",  # from here on it is nobody's: a crash leaves it to the next engine's sweep
        **restart,
    )


def _tell(engine: Engine, record: Record, ending: Ending, *, ran_ns: int) -> None:
    detail = {
        **attributes(record),
        "execDuration": str(max(0, ran_ns) // 1_000_000_000),
        "exitCode": str(ending.code),
    }
    engine.events.publish("container", "die", record.id, detail)


async def remove_cgroup(cgroup: Cgroup) -> None:
    """Remove a cgroup; processes that take their time to exit are not waited for here."""
    with telling(f"cgroup {cgroup.path}"):
        try:
            cgroup.delete(0)
        except Conflict:
            await in_thread(cgroup.delete)


def clear(cgroup: Cgroup) -> None:
    """Kill what is in a cgroup that nobody owns, and remove it; it may be there in part only."""
    with contextlib.suppress(NotFound):
        cgroup.kill()
    cgroup.delete()


@contextlib.contextmanager
def telling(what: str) -> Iterator[None]:
    """Log what keeps ``what`` from being given back: fsck finds it, the rest goes on."""
    try:
        yield
    except (Error, OSError) as error:
        _LOG.error("cannot give back %s: %s", what, error)


def _oom_kills(cgroup: Cgroup | None) -> int:
    try:
        return cgroup.oom_kills() if cgroup else 0
    except NotFound:
        return 0  # somebody removed it: nobody can tell any more


def _end_execs(live: Live) -> None:
    """Everything in the container ended with its first process."""
    for exec_ in live.execs.values():
        if exec_.started and not exec_.ended.done():
            exec_.exit_code = _LOST
            exec_.ended.set_result(_LOST)


def recorded(engine: Engine, id_: str) -> Ending | None:
    """Return the end that the supervisor wrote down, when it did. Source: shim/supervise.c."""
    try:
        with open(f"{engine.paths.container(id_)}/exit", encoding="ascii") as file:
            status, _, at_ns, _ = map(int, file.read(200).split())
    except (FileNotFoundError, ValueError):
        return None
    exit_ = Exit(status, at_ns)
    return Ending(exit_.code, exit_.at_ns)
