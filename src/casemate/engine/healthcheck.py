"""What a health check is, and what follows from its results.

Source: Docker Engine API v1.47, HealthConfig and Health; Dockerfile reference, HEALTHCHECK.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from casemate.engine.clock import SECOND_NS
from casemate.engine.model import Config, HostConfig
from casemate.engine.records import Health, Probe
from casemate.errors import InvalidArgument
from casemate.oci.image import Healthcheck

_INTERVAL, _TIMEOUT, _START_INTERVAL = 30 * SECOND_NS, 30 * SECOND_NS, 5 * SECOND_NS
_RETRIES = 3
_SHORTEST = 1_000_000
#: So many results are kept.
_KEPT = 5


#: What may follow when a container is found unhealthy: ``--on-unhealthy``, which is ours.
ACTIONS = ("none", "restart", "stop")


class Check(NamedTuple):
    """A health check with nothing left open. Times in nanoseconds."""

    command: tuple[str, ...]
    interval: int
    timeout: int
    retries: int
    start_period: int
    start_interval: int


def check_of(config: Config) -> Check | None:
    """Return how to find out whether the container is well; None when nobody asks.

    Raises InvalidArgument, in docker's words.
    """
    asked = config.healthcheck
    if asked is None or not asked.test or asked.test[0] == "NONE":
        return None
    _refuse(asked)
    return Check(
        _command(asked.test, config.shell),
        asked.interval or _INTERVAL,
        asked.timeout or _TIMEOUT,
        asked.retries or _RETRIES,
        asked.start_period,
        asked.start_interval or _START_INTERVAL,
    )


def _command(test: tuple[str, ...], shell: list[str] | None) -> tuple[str, ...]:
    kind, *words = test
    if kind == "CMD" and words:
        return tuple(words)
    if kind == "CMD-SHELL" and len(words) == 1:
        return (*(shell or ("/bin/sh", "-c")), words[0])
    raise InvalidArgument(f"Unknown healthcheck type '{kind[:40]}' (expected 'CMD')")


def _refuse(asked: Healthcheck) -> None:
    for name, value in (
        ("Interval", asked.interval),
        ("Timeout", asked.timeout),
        ("StartPeriod", asked.start_period),
        ("StartInterval", asked.start_interval),
    ):
        if value and value < _SHORTEST:
            raise InvalidArgument(f"{name} in Healthcheck cannot be less than 1ms")
    if asked.retries < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative")


def check(config: Config, host: HostConfig) -> None:
    """Refuse a health check that is none, or an action. Raises InvalidArgument."""
    check_of(config)
    if host.on_unhealthy not in ("", *ACTIONS):
        raise InvalidArgument(
            f"invalid --on-unhealthy {host.on_unhealthy[:40]!r}: expected {', '.join(ACTIONS)}"
        )


def judged(before: Health, found: Probe, retries: int, *, forgiven: bool) -> Health:
    """Return what is known after one more result; a failure that is ``forgiven`` is not counted."""
    log = (*before.log, found)[-_KEPT:]
    if found.exit_code == 0:
        return msgspec.structs.replace(before, status="healthy", failing_streak=0, log=log)
    if forgiven:
        return msgspec.structs.replace(before, log=log)
    streak = before.failing_streak + 1
    status = "unhealthy" if streak >= retries else before.status
    return msgspec.structs.replace(before, status=status, failing_streak=streak, log=log)
