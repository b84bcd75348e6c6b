"""Restart policies as pure decisions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.engine import policy
from casemate.engine.model import Config, HostConfig, RestartPolicy
from casemate.engine.policy import Again
from casemate.engine.records import Fixed, Record, State
from casemate.errors import InvalidArgument

SECOND = 10**9
RAN = State(status="running", started_ns=1)


def named(name: str, most: int = 0) -> RestartPolicy:
    return RestartPolicy(name, most)


def after(policy_: RestartPolicy, code: int = 1, ran_s: float = 0, **state: Any) -> Again | None:
    now = msgspec.structs.replace(RAN, **state)
    return policy.after(policy_, now, code, now.started_ns + int(ran_s * SECOND))


@pytest.mark.parametrize(
    ("name", "code", "again"),
    [
        ("", 1, False),
        ("no", 1, False),
        ("always", 0, True),
        ("always", 1, True),
        ("unless-stopped", 0, True),
        ("on-failure", 0, False),
        ("on-failure", 1, True),
    ],
)
def test_which_ends_are_followed_by_a_start(name: str, code: int, again: bool) -> None:
    assert bool(after(named(name), code)) == again
    assert after(named(name), code, stopped=True) is None


def test_failures_are_counted_to_the_most() -> None:
    assert after(named("on-failure", 2), restart_count=1) == Again(2, 100)
    assert after(named("on-failure", 2), restart_count=2) is None
    assert after(named("on-failure"), restart_count=1000) == Again(1001, 100)


def test_the_wait_doubles_to_a_minute() -> None:
    waits, backoff_ms = [], 0
    for _ in range(12):
        again = after(named("always"), backoff_ms=backoff_ms)
        assert again
        backoff_ms = again.backoff_ms
        waits.append(backoff_ms)
    assert waits == [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]


@pytest.mark.parametrize(("ran_s", "wait_ms"), [(0, 12800), (9.99, 12800), (10, 100), (99, 100)])
def test_who_has_run_for_long_is_healthy(ran_s: float, wait_ms: int) -> None:
    again = after(named("always"), ran_s=ran_s, backoff_ms=6400)
    assert again and again.backoff_ms == wait_ms


@given(
    finished_ns=st.integers(0, 2**63 - 1), now_ns=st.integers(0, 2**63 - 1),
    backoff_ms=st.integers(0, 60_000),
)  # fmt: skip
def test_nobody_waits_longer_than_the_wait(finished_ns: int, now_ns: int, backoff_ms: int) -> None:
    state = State(status="restarting", finished_ns=finished_ns, backoff_ms=backoff_ms)
    assert 0 <= policy.left_s(state, now_ns) <= backoff_ms / 1000


def record(name: str, **state: Any) -> Record:
    host = HostConfig(restart_policy=named(name))
    fixed = Fixed(Config(), host, None, None, (), ("true",))
    known: dict[str, Any] = {"status": "exited", "started_ns": 1, **state}
    return Record("0" * 64, "x", 0, fixed, State(**known))


@pytest.mark.parametrize(
    ("name", "state", "engine", "machine"),
    [
        ("no", {}, False, False),
        ("on-failure", {"exit_code": 1}, False, False),
        ("always", {}, True, True),
        ("always", {"stopped": True}, False, True),
        ("unless-stopped", {}, True, True),
        ("unless-stopped", {"stopped": True}, False, False),
        ("always", {"status": "created", "started_ns": 0}, False, False),
        ("always", {"status": "running"}, False, False),
        ("always", {"status": "restarting"}, False, False),
    ],
)
def test_who_is_started_with_the_engine(
    name: str, state: dict[str, Any], engine: bool, machine: bool
) -> None:
    found = record(name, **state)
    assert policy.at_engine_start(found, machine_restarted=False) == engine
    assert policy.at_engine_start(found, machine_restarted=True) == machine


@pytest.mark.parametrize(
    ("name", "most", "match"),
    [
        ("sometimes", 0, "unknown policy 'sometimes'"),
        ("on-failure", -1, "cannot be negative"),
        ("always", 1, "can only be used with 'on-failure'$"),
        ("no", -1, "'on-failure' and cannot be negative"),
    ],
)
def test_what_is_no_policy(name: str, most: int, match: str) -> None:
    with pytest.raises(InvalidArgument, match=match):
        policy.check(HostConfig(restart_policy=named(name, most)))


def test_what_vanishes_has_no_policy() -> None:
    with pytest.raises(InvalidArgument, match="can't create 'AutoRemove' container"):
        policy.check(HostConfig(auto_remove=True, restart_policy=named("always")))
    policy.check(HostConfig(auto_remove=True, restart_policy=named("no")))
    policy.check(HostConfig(auto_remove=True))
