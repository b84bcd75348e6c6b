from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import Conflict, InvalidArgument, NotFound, Unsupported
from casemate.linux.cgroups import blockio, cpu, cpuset, memory, setting, tasks
from casemate.linux.cgroups.values import Io, Limits
from unit.linux.fakekernel import PAGE, FakePlace, memory_v1, memory_v2


def apply(module: Any, place: FakePlace, **limits: Any) -> list[tuple[str, str]]:
    setting.apply(place, module.settings(place, Limits(**limits)))
    return place.written


def test_memory_v1_is_written_and_rounded_down_to_pages() -> None:
    place = memory_v1()
    written = apply(
        memory, place, memory_bytes=10 * PAGE + 1, memory_swap_bytes=20 * PAGE, swappiness=5
    )
    assert written == [
        ("memory.limit_in_bytes", str(10 * PAGE + 1)),
        ("memory.memsw.limit_in_bytes", str(20 * PAGE)),
        ("memory.swappiness", "5"),
    ]
    held = memory.limits(place)
    assert (held.memory_bytes, held.memory_swap_bytes, held.swappiness) == (10 * PAGE, 20 * PAGE, 5)


sizes = st.integers(1, 1000).map(lambda n: n * PAGE)


@given(sizes, sizes, sizes, sizes, st.booleans())
def test_memory_v1_moves_between_any_two_pairs_of_limits(
    old: int, old_more: int, new: int, new_more: int, unlimited: bool
) -> None:
    place = memory_v1(old, old + old_more)
    swap = -1 if unlimited else new + new_more
    apply(memory, place, memory_bytes=new, memory_swap_bytes=swap)
    held = memory.limits(place)
    assert (held.memory_bytes, held.memory_swap_bytes) == (new, swap)


def test_lifting_the_memory_limit_lifts_that_of_swap_too() -> None:
    for place in (memory_v1(PAGE, 2 * PAGE), memory_v2()):
        apply(memory, place, memory_bytes=-1)
        held = memory.limits(place)
        assert (held.memory_bytes, held.memory_swap_bytes) == (-1, -1)


def test_memory_v2_counts_swap_alone() -> None:
    place = memory_v2()
    written = apply(
        memory, place, memory_bytes=10 * PAGE, memory_swap_bytes=15 * PAGE, memory_low_bytes=PAGE
    )
    assert written == [
        ("memory.max", str(10 * PAGE)),
        ("memory.swap.max", str(5 * PAGE)),
        ("memory.low", str(PAGE)),
    ]
    assert memory.limits(place).memory_swap_bytes == 15 * PAGE
    place.written.clear()
    assert apply(memory, place, memory_swap_bytes=12 * PAGE) == [("memory.swap.max", "8192")]
    assert apply(memory, place, memory_swap_bytes=10 * PAGE)[-1] == ("memory.swap.max", "0")
    assert apply(memory, place, memory_swap_bytes=-1)[-1] == ("memory.swap.max", "max")


def test_without_swap_accounting_only_a_real_swap_limit_is_an_error() -> None:
    place = memory_v2()
    del place.files["memory.swap.max"]
    apply(memory, place, memory_bytes=PAGE, memory_swap_bytes=PAGE)
    apply(memory, place, memory_bytes=PAGE, memory_swap_bytes=-1)
    with pytest.raises(Unsupported, match=r"cannot set memory\.swap\.max of cgroup casemate/x"):
        apply(memory, place, memory_bytes=PAGE, memory_swap_bytes=2 * PAGE)


@pytest.mark.parametrize(
    "limits",
    [
        {"memory_bytes": -2},
        {"memory_bytes": 1 << 63},
        {"memory_bytes": 8192, "memory_swap_bytes": 4096},
        {"memory_bytes": -1, "memory_swap_bytes": 4096},
        {"memory_swap_bytes": 4096},
        {"memory_low_bytes": -5},
    ],
)
def test_memory_limits_that_contradict_are_refused(limits: dict[str, int]) -> None:
    for place in (memory_v1(), memory_v2()):
        with pytest.raises(InvalidArgument, match="invalid memory limit"):
            apply(memory, place, **limits)
        assert place.written == []


def test_memory_v2_has_no_swappiness_and_always_an_oom_killer() -> None:
    with pytest.raises(Unsupported, match="swappiness"):
        apply(memory, memory_v2(), swappiness=60)
    with pytest.raises(Unsupported, match="OOM killer"):
        apply(memory, memory_v2(), oom_kill_disable=True)
    assert apply(memory, memory_v2(), oom_kill_disable=False) == []
    assert apply(memory, memory_v1(), oom_kill_disable=True) == [("memory.oom_control", "1")]


def test_the_oom_killers_count_is_read() -> None:
    assert memory.oom_kills(memory_v1()) == 3
    v2 = FakePlace(2, memory__events="low 0\nhigh 0\nmax 7\noom 2\noom_kill 1")
    assert memory.oom_kills(v2) == 1


def test_shares_become_weights_through_the_ends_and_the_default() -> None:
    assert [cpu.weight(n) for n in (2, 1024, 262144)] == [1, 100, 10000]
    assert [cpu.shares(n) for n in (1, 100, 10000)] == [2, 1024, 262144]


@given(st.integers(2, 262143))
def test_more_shares_never_weigh_less_and_weights_lead_back(shares: int) -> None:
    weight = cpu.weight(shares)
    assert 1 <= weight <= cpu.weight(shares + 1) <= 10000
    assert abs(cpu.weight(cpu.shares(weight)) - weight) <= 1


def cpu_v1(quota: str = "-1") -> FakePlace:
    place = FakePlace(1, cpu__shares="1024", cpu__cfs_period_us="100000", cpu__cfs_quota_us=quota)
    place.files["cgroup.procs"] = ""
    return place


def test_cpu_limits_are_written() -> None:
    written = apply(cpu, cpu_v1(), cpu_shares=2, cpu_quota_us=5000, cpu_period_us=10000)
    assert written == [
        ("cpu.shares", "2"),
        ("cpu.cfs_period_us", "10000"),
        ("cpu.cfs_quota_us", "5000"),
    ]
    v2 = FakePlace(2, cpu__max="max 100000", cpu__weight="100")
    assert apply(cpu, v2, cpu_shares=1024, cpu_quota_us=5000) == [
        ("cpu.weight", "100"),
        ("cpu.max", "5000 100000"),
    ]
    assert apply(cpu, v2, cpu_period_us=20000)[-1] == ("cpu.max", "5000 20000")
    assert apply(cpu, v2, cpu_quota_us=-1)[-1] == ("cpu.max", "max 20000")
    assert cpu.limits(v2) == Limits(cpu_shares=1024, cpu_quota_us=-1, cpu_period_us=20000)


def test_a_new_period_never_meets_the_old_quota() -> None:
    assert apply(cpu, cpu_v1("50000"), cpu_period_us=10000) == [
        ("cpu.cfs_quota_us", "-1"),
        ("cpu.cfs_period_us", "10000"),
        ("cpu.cfs_quota_us", "50000"),
    ]


@pytest.mark.parametrize(
    "limits",
    [
        *({"cpu_shares": n} for n in (-1, 0, 1, 262145)),
        *({"cpu_quota_us": n} for n in (-2, 0, 999)),
        *({"cpu_period_us": n} for n in (-1, 0, 999, 1000001)),
    ],
)
def test_cpu_limits_outside_of_what_the_kernel_keeps_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match="invalid CPU"):
        apply(cpu, cpu_v1(), **limits)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", ()),
        ("0", ((0, 0),)),
        ("7,0-2", ((0, 2), (7, 7))),
        ("0-1,2,3-5,4", ((0, 5),)),
        ("0-99999", ((0, 99999),)),
    ],
)
def test_lists_of_processors_are_ranges(text: str, ranges: cpuset.Ranges) -> None:
    assert cpuset.parse_list(text) == ranges


@pytest.mark.parametrize("text", ["a", "1-", "-1", "2-1", "0,,1", "0 1", "٣", "100000", "0-1:1/2"])
def test_other_lists_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid list"):
        cpuset.parse_list(text)


def test_a_list_longer_than_any_machine_is_refused_unread() -> None:
    with pytest.raises(InvalidArgument, match="at most 4096"):
        cpuset.parse_list("0," * 100_000 + "1")


@given(st.sets(st.integers(0, 300), min_size=1, max_size=40), st.sets(st.integers(0, 300)))
def test_lists_keep_sets(numbers: set[int], others: set[int]) -> None:
    ranges = cpuset.parse_list(",".join(map(str, numbers)))
    assert {n for low, high in ranges for n in range(low, high + 1)} == numbers
    more = cpuset.parse_list(",".join(map(str, numbers | others)))
    assert cpuset.inside(ranges, more)
    assert cpuset.inside(more, ranges) == (others <= numbers)


def test_only_processors_that_the_cgroup_above_has_can_be_given() -> None:
    place = FakePlace(1, cpuset__cpus="", cpuset__mems="", cgroup__procs="")
    place.above = FakePlace(1, cpuset__cpus="0-3", cpuset__mems="0")
    assert apply(cpuset, place, cpus="0,2-3", mems="0") == [
        ("cpuset.cpus", "0,2-3"),
        ("cpuset.mems", "0"),
    ]
    with pytest.raises(InvalidArgument, match="cannot use CPUs 3-4: available are 0-3"):
        apply(cpuset, place, cpus="3-4")
    v2 = FakePlace(2, cpuset__cpus="", cpuset__mems="")
    v2.above = FakePlace(2, cpuset__cpus__effective="0-1", cpuset__mems__effective="0")
    v2.keep["cpuset.cpus"] = lambda text: "0-1" if text == "0,1" else text
    assert apply(cpuset, v2, cpus="0,1") == [("cpuset.cpus", "0,1")]


def test_an_empty_cpuset_gets_what_the_one_above_has() -> None:
    place = FakePlace(1, cpuset__cpus="", cpuset__mems="0")
    place.above = FakePlace(1, cpuset__cpus="0-3", cpuset__mems="0-1")
    cpuset.inherit(place)
    assert place.written == [("cpuset.cpus", "0-3\n")]


def test_tasks_are_limited() -> None:
    place = FakePlace(1, pids__max="max", cgroup__procs="")
    assert apply(tasks, place, pids=100) == [("pids.max", "100")]
    assert apply(tasks, place, pids=-1)[-1] == ("pids.max", "max")
    assert tasks.limits(place) == Limits(pids=-1)
    with pytest.raises(InvalidArgument):
        apply(tasks, place, pids=-2)


def test_what_the_kernel_does_not_keep_is_an_error() -> None:
    place = FakePlace(1, pids__max="max", cgroup__procs="")
    place.keep["pids.max"] = lambda text: "5"
    with pytest.raises(InvalidArgument, match=r"pids\.max of cgroup casemate/x to 7: .* keeps '5'"):
        apply(tasks, place, pids=7)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.EINVAL, InvalidArgument),
        (errno.EBUSY, Conflict),
        (errno.ENODEV, Unsupported),
        (errno.EOPNOTSUPP, Unsupported),
    ],
)
def test_what_the_kernel_refuses_names_the_file_and_the_value(
    code: int, kind: type[Exception]
) -> None:
    place = FakePlace(1, pids__max="max", cgroup__procs="")

    def refuse(text: str) -> str:
        raise OSError(code, "no")

    place.keep["pids.max"] = refuse
    with pytest.raises(kind, match=r"cannot set pids\.max of cgroup casemate/x to 7"):
        apply(tasks, place, pids=7)


def test_a_missing_cgroup_is_not_found() -> None:
    with pytest.raises(NotFound, match="there is no such cgroup"):
        apply(tasks, FakePlace(1), pids=7)


def test_what_went_to_disks_is_read() -> None:
    v1 = FakePlace(1)
    v1.files["blkio.throttle.io_service_bytes_recursive"] = (
        "8:0 Read 4096\n8:0 Write 512\n8:0 Sync 0\n8:0 Total 4608\nTotal 4608"
    )
    v1.files["blkio.throttle.io_serviced_recursive"] = (
        "8:0 Read 1\n8:0 Write 2\n252:1 Read 9\nTotal 3"
    )
    assert blockio.usage(v1) == (
        Io(8, 0, 4096, 512, 1, 2),
        Io(252, 1, 0, 0, 9, 0),
    )
    v2 = FakePlace(2)
    v2.files["io.stat"] = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n254:0"
    assert blockio.usage(v2) == (Io(8, 0, 1, 2, 3, 4), Io(254, 0, 0, 0, 0, 0))


def test_usage_is_read_in_bytes_and_nanoseconds() -> None:
    v2 = FakePlace(2, memory__stat="anon 5\nfile 6", memory__current="10", memory__max="max")
    v2.files["memory.events"] = "max 3\noom_kill 1"
    used = memory.usage(v2)
    assert used._replace(stat=dict(used.stat)) == (10, None, -1, 0, 3, 1, {"anon": 5, "file": 6})
    v2.files["cpu.stat"] = "usage_usec 7\nuser_usec 5\nsystem_usec 2\nnr_periods 3\nnr_throttled 1"
    v2.files["cpu.stat"] += "\nthrottled_usec 9"
    assert cpu.usage(v2, v2) == (7000, 5000, 2000, 3, 1, 9000, ())
    v1 = FakePlace(1, cpuacct__usage="123", cpuacct__usage_percpu="100 23 ")
    v1.files["cpuacct.stat"] = "user 2\nsystem 1"
    throttling = FakePlace(1, cpu__stat="nr_periods 3\nnr_throttled 1\nthrottled_time 77")
    assert cpu.usage(v1, throttling) == (*(123, 20_000_000, 10_000_000, 3, 1, 77, (100, 23)),)
