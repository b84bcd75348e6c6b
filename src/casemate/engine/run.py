"""What happens when a container ends: its status is written down and everything is given back."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import NamedTuple

from casemate.engine.clock import now_ns
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.live import Live
from casemate.engine.remove import remove
from casemate.engine.threads import in_thread
from casemate.errors import Conflict, Error, NotFound
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.supervise.connection import Gone
from casemate.supervise.shim import Exit

_LOG = logging.getLogger("casemate.run")

#: What a container is said to have ended with when nobody can know: as if killed.
_LOST = 137
_INTERRUPTED = 255


class Ending(NamedTuple):
    """How a run ended. ``error`` tells when it was not by the workload's own doing."""

    code: int
    at_ns: int
    error: str = ""


async def follow(engine: Engine, id_: str, live: Live, cgroup: Cgroup) -> None:
    """Wait for the end of the container and see to everything that follows from it."""
    shim = live.shim
    assert shim
    try:
        exit_ = await shim.first.exited
        ending = Ending(exit_.code, exit_.at_ns)
    except Gone:
        await shim.gone
        ending = recorded(engine, id_) or lost()
    async with live.lock:
        await ended(engine, id_, live, cgroup, ending)
    await shim.gone
    shim.close()
    if live.shim is shim:
        live.shim = None
    if live.released and not live.released.done():
        live.released.set_result(None)


def lost() -> Ending:
    """Return the end of a container whose supervisor did not live to see it."""
    return Ending(_LOST, now_ns(), "the container's supervisor was killed")


def interrupted() -> Ending:
    """Return the end of a container that ran when the machine stopped; as Docker says it."""
    return Ending(_INTERRUPTED, now_ns())


async def ended(
    engine: Engine, id_: str, live: Live, cgroup: Cgroup | None, ending: Ending
) -> None:
    """Write the end down, tell who waits, and give back addresses, ports and the cgroup."""
    record = engine.records.get(id_)
    if record is None:
        return
    if ending.error and cgroup:
        # Its supervisor is gone: nobody else would.
        with telling(f"the processes of container {record.name}"):
            await in_thread(cgroup.kill)
    oom_killed = _oom_kills(cgroup) > 0
    record = engine.records.learn(
        id_,
        status="dead" if ending.error else "exited",
        exit_code=ending.code,
        error=ending.error,
        oom_killed=oom_killed,
        finished_ns=ending.at_ns,
        pid=0,
        ports=(),
        cgroup="",  # from here on it is nobody's: a crash leaves it to the next engine's sweep
    )
    if not live.exit.done():
        live.exit.set_result(ending.code)
    if oom_killed:
        engine.events.publish("container", "oom", id_, attributes(record))
    detail = {**attributes(record), "exitCode": str(ending.code)}
    engine.events.publish("container", "die", id_, detail)
    _end_execs(live)
    with telling(f"the addresses of container {record.name}"):
        engine.networking.leave(record)
    if cgroup:
        await remove_cgroup(cgroup)
    live.cgroup = ""
    if record.fixed.host.auto_remove:
        engine.background(remove_by_itself(engine, id_))


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


async def remove_by_itself(engine: Engine, id_: str) -> None:
    """Remove a container that was made with --rm."""
    record = engine.records.get(id_)
    if record is None:
        return
    try:
        await remove(engine, record)
    except NotFound:
        pass  # somebody else was faster
    except Error as error:
        engine.records.learn(id_, status="dead", error=f"cannot be removed: {error}")
