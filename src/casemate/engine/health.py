"""Health checks: a command, run again and again, that tells whether a container is well.

What was found is written down, so that the next engine goes on where this one stopped.
"""

from __future__ import annotations

import asyncio
import logging

from casemate.engine import probe
from casemate.engine.clock import SECOND_NS, now_ns
from casemate.engine.create import attributes
from casemate.engine.engine import Engine
from casemate.engine.healthcheck import Check, check_of, judged
from casemate.engine.live import Live
from casemate.engine.records import Health, Probe, Record
from casemate.errors import Conflict, Error, NotFound
from casemate.supervise.shim import Shim

_LOG = logging.getLogger("casemate.health")


def watch(engine: Engine, id_: str, live: Live, shim: Shim) -> asyncio.Task[None] | None:
    """Begin to check the run under ``shim``; whoever sees its end cancels this.

    None for a container without a health check.
    """
    record = engine.records.get(id_)
    check = check_of(record.fixed.config) if record else None
    if not record or not check:
        return None
    health = record.state.health
    if health is None or health.run_ns != record.state.started_ns:
        health = Health("starting", record.state.started_ns)
        engine.records.learn(id_, health=health)
    return engine.background(_checked(engine, id_, live, shim, check))


async def _checked(engine: Engine, id_: str, live: Live, shim: Shim, check: Check) -> None:
    try:
        while live.shim is shim:
            record = engine.records.find(id_)
            await asyncio.sleep(_pause_s(record, check))
            record = engine.records.find(id_)
            if record.state.status == "running":
                found = await probe.probe(
                    engine, record, list(check.command), check.timeout / SECOND_NS
                )
                _learn(engine, engine.records.find(id_), check, found)
    except (NotFound, Conflict):
        pass  # it has ended
    except (Error, OSError) as error:
        _LOG.warning("container %s: its health is not checked: %s", id_[:12], error)


def _pause_s(record: Record, check: Check) -> float:
    """Return how long to wait until the next check; sooner than usual while it gets ready."""
    starts = _is_starting(record, check, now_ns())
    return (min(check.start_interval, check.interval) if starts else check.interval) / SECOND_NS


def _is_starting(record: Record, check: Check, at_ns: int) -> bool:
    health = record.state.health
    within = at_ns - record.state.started_ns < check.start_period
    return within and health is not None and health.status == "starting"


def _learn(engine: Engine, record: Record, check: Check, found: Probe) -> None:
    before = record.state.health
    if before is None or before.run_ns != record.state.started_ns:
        return  # of the run before
    forgiven = _is_starting(record, check, found.began_ns)
    after = judged(before, found, check.retries, forgiven=forgiven)
    engine.records.learn(record.id, health=after)
    if after.status != before.status:
        action = f"health_status: {after.status}"
        engine.events.publish("container", action, record.id, attributes(record))
        if after.status == "unhealthy":
            engine.background(engine.unhealthy(engine, record))
