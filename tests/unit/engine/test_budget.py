"""Budgets of groups: what they mean to the kernel, and what may be inside."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.engine.groups import budget as budgets
from casemate.engine.groups.records import Budget, Group, checked
from casemate.engine.model import HostConfig
from casemate.errors import InvalidArgument
from casemate.linux.cgroups.values import Limits

MIB = 1 << 20


def group(**budget: Any) -> Group:
    return Group("ci", "", 0, Budget(**budget))


def test_a_budget_is_the_limits_of_a_container() -> None:
    found = budgets.limits(Budget(memory=64 * MIB, nano_cpus=1_500_000_000, pids_limit=9))
    assert (found.memory_bytes, found.memory_swap_bytes, found.pids) == (64 * MIB, 128 * MIB, 9)
    assert (found.cpu_quota_us, found.cpu_period_us) == (150_000, 100_000)


def test_only_what_changes_is_written_and_what_is_gone_is_lifted() -> None:
    before = Budget(memory=64 * MIB, nano_cpus=10**9, pids_limit=9, cpu_shares=5)
    after = Budget(memory=64 * MIB, pids_limit=10)
    found = budgets.changed(before, after)
    assert found == Limits(cpu_shares=1024, cpu_quota_us=-1, pids=10)
    assert budgets.changed(before, before) == Limits()
    lifted = budgets.changed(Budget(memory=64 * MIB), Budget())
    assert (lifted.memory_bytes, lifted.memory_swap_bytes) == (-1, -1)


AMOUNTS = st.integers(0, 5)


@given(AMOUNTS, AMOUNTS, st.sampled_from(["memory", "memory_swap", "nano_cpus", "pids_limit"]))
def test_more_than_the_group_has_is_refused_and_nothing_else(
    mine: int, theirs: int, field: str
) -> None:
    """0 is what the group has."""
    host, whole = HostConfig(**{field: mine}), group(**{field: theirs})
    if mine > theirs > 0:
        with pytest.raises(InvalidArgument, match=r"container x cannot have --.* of group ci"):
            budgets.check("container x", host, (whole,))
    else:
        budgets.check("container x", host, (whole,))


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"cpu_quota": 100_000}, False),
        ({"cpu_quota": 100_001}, True),
        ({"cpu_quota": 50_000, "cpu_period": 25_000}, True),
        ({"cpu_quota": -1}, False),
        ({"pids_limit": -1, "memory_swap": -1}, False),
        ({"cpuset_cpus": "0,2-3"}, False),
        ({"cpuset_cpus": "0-4"}, True),
        ({"cpuset_mems": "7"}, False),
        ({"cpu_shares": 262144}, False),
    ],
)
def test_processors_are_compared_as_time_and_as_sets(asked: dict[str, Any], refused: bool) -> None:
    whole = group(nano_cpus=10**9, cpuset_cpus="0-3", pids_limit=5, memory_swap=9, cpu_shares=2)
    host = HostConfig(**asked)
    if refused:
        with pytest.raises(InvalidArgument, match="more than the"):
            budgets.check("group x", host, (whole,))
    else:
        budgets.check("group x", host, (whole,))


def test_a_budget_in_words() -> None:
    found = budgets.words(Budget(memory=5, nano_cpus=1_500_000_000, cpuset_cpus="0", cpu_shares=7))
    assert found == ["--memory 5", "--cpus 1.5", "--cpu-shares 7", "--cpuset-cpus 0"]


@given(st.text(max_size=70))
def test_a_name_is_one_part_of_a_path_and_no_control_file(name: str) -> None:
    try:
        checked(name)
    except InvalidArgument:
        return
    assert name.isascii() and "/" not in name and name.strip(".") and len(name) <= 64
