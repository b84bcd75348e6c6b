"""Restart policies: whether a container that has ended is started again, and when.

Pure decisions; ``life.py`` carries them out. Source: Docker Engine API v1.47, RestartPolicy;
docs.docker.com, start containers automatically; moby daemon/internal/restartmanager.
"""

from __future__ import annotations

from typing import NamedTuple

from casemate.engine.model import HostConfig, RestartPolicy
from casemate.engine.records import Record, State
from casemate.errors import InvalidArgument

_FIRST_MS = 100
_LONGEST_MS = 60_000
#: Who has run as long as this is taken for healthy: its next restart is a first one.
_HEALTHY_NS = 10_000_000_000
_NAMES = ("no", "always", "on-failure", "unless-stopped")


class Again(NamedTuple):
    """One more start: the how many-th without anybody's asking, and how long it waits."""

    number: int
    backoff_ms: int


def check(host: HostConfig) -> None:
    """Refuse a policy that is none, or that contradicts ``--rm``. Raises InvalidArgument."""
    policy = host.restart_policy
    if policy.name and policy.name not in _NAMES:
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{policy.name[:40]}'; use one of 'no',"
            " 'always', 'on-failure', or 'unless-stopped'"
        )
    if policy.name == "on-failure" and policy.maximum_retry_count < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")
    if policy.name not in ("", "on-failure") and policy.maximum_retry_count:
        negative = " and cannot be negative" if policy.maximum_retry_count < 0 else ""
        raise InvalidArgument(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'"
            + negative
        )
    if host.auto_remove and restarts(policy):
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")


def restarts(policy: RestartPolicy) -> bool:
    """Tell whether ``policy`` ever starts a container again."""
    return policy.name not in ("", "no")


def after(policy: RestartPolicy, state: State, code: int, at_ns: int) -> Again | None:
    """Return the restart that follows when the run of ``state`` ends at ``at_ns`` with ``code``.

    None when there is none: because of the policy, or because somebody wanted the end.
    """
    if state.stopped or not restarts(policy):
        return None
    if policy.name == "on-failure":
        most = policy.maximum_retry_count
        if code == 0 or (most and state.restart_count >= most):
            return None
    return again(state, at_ns)


def again(state: State, at_ns: int) -> Again:
    """Return one more start after the run of ``state``, which has ended at ``at_ns``."""
    return Again(state.restart_count + 1, _backoff_ms(state, at_ns))


def _backoff_ms(state: State, at_ns: int) -> int:
    if at_ns - state.started_ns >= _HEALTHY_NS:
        return _FIRST_MS
    return min(max(2 * state.backoff_ms, _FIRST_MS), _LONGEST_MS)


def left_s(state: State, now_ns: int) -> float:
    """Return how many seconds a restart still waits; a clock that was set back adds nothing."""
    waited_ms = max(0, now_ns - state.finished_ns) // 1_000_000
    return max(0, state.backoff_ms - waited_ms) / 1000


def at_engine_start(record: Record, *, machine_restarted: bool) -> bool:
    """Tell whether a container that does not run is started with the engine.

    ``always`` brings back what somebody has stopped only when the machine was started anew: an
    engine comes and goes with those who need it, and its start is no event for containers.
    """
    state, policy = record.state, record.fixed.host.restart_policy
    if state.status != "exited" or not state.started_ns:
        return False
    if policy.name == "always":
        return machine_restarted or not state.stopped
    return policy.name == "unless-stopped" and not state.stopped
