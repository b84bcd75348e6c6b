"""Cgroups of the real kernel: as they are mounted here, and each version for itself."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest

from casemate.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unsupported,
)
from casemate.linux.cgroups import cgroup
from casemate.linux.cgroups.cgroup import Cgroup
from casemate.linux.cgroups.hierarchies import Hierarchies
from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.values import Limits
from support.cgroups import (
    BASE,
    SPIN,
    WAIT,
    eventually,
    exists,
    needs,
    output,
    running,
    started,
)

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cgroups are made by root"),
]

MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")


def test_a_cgroup_is_made_in_every_hierarchy_and_removed(group: Cgroup) -> None:
    assert exists(group) and all(exists(group))
    assert cgroup.walk(group.hierarchies, BASE) == [f"{BASE}/room"]
    group.delete()
    assert not any(exists(group))
    group.delete()
    assert cgroup.walk(group.hierarchies, BASE) == []


def test_a_cgroup_is_not_made_twice(group: Cgroup) -> None:
    with pytest.raises(AlreadyExists, match=f"cgroup {BASE}/room already exists"):
        group.create()
    assert all(exists(group))


def test_what_cannot_be_made_everywhere_is_made_nowhere(group: Cgroup) -> None:
    group.delete()
    last = group.hierarchies.held[-1]
    os.mkdir(f"{BASE}/room", dir_fd=last.fd)
    with pytest.raises(AlreadyExists):
        group.create()
    assert exists(group) == [False] * (len(exists(group)) - 1) + [True]
    assert cgroup.walk(group.hierarchies, BASE) == [f"{BASE}/room"]


def test_a_deep_parent_is_made_on_the_way_and_takes_processes(hierarchies: Hierarchies) -> None:
    deep = cgroup.at(hierarchies, f"{BASE}/a/b/c/room")
    deep.create()
    with running(deep, WAIT) as process:
        started(process)
        assert deep.pids() == [process.pid]
        assert cgroup.at(hierarchies, f"{BASE}/a").pids() == [process.pid]


def test_all_limits_are_set_read_back_and_changed(group: Cgroup) -> None:
    needs(group, "memory", "cpu", "pids")
    wanted = Limits(
        memory_bytes=64 * MIB + 1,
        memory_low_bytes=32 * MIB,
        memory_swap_bytes=96 * MIB,
        cpu_shares=512,
        cpu_quota_us=50_000,
        cpu_period_us=20_000,
        pids=50,
    )
    group.apply(wanted)
    held = group.limits()
    assert held.memory_bytes == 64 * MIB
    assert (held.memory_low_bytes, held.memory_swap_bytes) == (32 * MIB, 96 * MIB)
    assert held.cpu_shares is not None and abs(held.cpu_shares - 512) <= 16
    assert (held.cpu_quota_us, held.cpu_period_us, held.pids) == (50_000, 20_000, 50)
    group.apply(Limits(memory_bytes=256 * MIB, memory_swap_bytes=512 * MIB))
    group.apply(Limits(memory_bytes=16 * MIB, memory_swap_bytes=16 * MIB, cpu_period_us=100_000))
    held = group.limits()
    assert (held.memory_bytes, held.memory_swap_bytes) == (16 * MIB, 16 * MIB)
    assert (held.cpu_quota_us, held.cpu_period_us) == (50_000, 100_000)
    group.apply(Limits(memory_bytes=-1, cpu_quota_us=-1, pids=-1))
    held = group.limits()
    assert (held.memory_bytes, held.memory_swap_bytes, held.pids) == (-1, -1, -1)
    assert held.cpu_quota_us == -1


def test_settings_of_version_1_alone(group: Cgroup) -> None:
    needs(group, "memory")
    only = Limits(swappiness=10, oom_kill_disable=True)
    if not group.hierarchies.features().oom_kill_disable:
        with pytest.raises(Unsupported):
            group.apply(only)
        return
    group.apply(only)
    held = group.limits()
    assert (held.swappiness, held.oom_kill_disable) == (10, True)
    with pytest.raises(InvalidArgument, match=r"memory\.swappiness"):
        group.apply(Limits(swappiness=100_000))


def test_processors_are_chosen_from_those_there_are(group: Cgroup) -> None:
    needs(group, "cpuset")
    own = sorted(os.sched_getaffinity(0))
    group.apply(Limits(cpus=str(own[-1]), mems="0"))
    assert group.limits().cpus == str(own[-1])
    got = output(group, "print(sorted(os.sched_getaffinity(0)))")
    assert got.decode().strip() == f"[{own[-1]}]"
    with pytest.raises(InvalidArgument, match="cannot use CPUs 9999: available are"):
        group.apply(Limits(cpus="9999"))


def test_no_more_can_be_given_than_the_cgroup_above_has(hierarchies: Hierarchies) -> None:
    above = cgroup.at(hierarchies, BASE)
    above.create()
    needs(above, "cpu")
    if hierarchies.layout.mode == "v2":
        pytest.skip("version 2 takes any quota and enforces the smaller one")
    above.apply(Limits(cpu_quota_us=10_000, cpu_period_us=100_000))
    below = cgroup.at(hierarchies, f"{BASE}/room")
    below.create()
    with pytest.raises(InvalidArgument, match=r"cannot set cpu\.cfs_quota_us of cgroup .*/room"):
        below.apply(Limits(cpu_quota_us=50_000, cpu_period_us=100_000))


def test_a_missing_cgroup_is_said_to_be_missing(hierarchies: Hierarchies) -> None:
    none = cgroup.at(hierarchies, f"{BASE}/none")
    for use in (none.limits, none.usage, none.pids, none.freeze, none.kill):
        if use in (none.limits,) and not hierarchies.features().controllers & {"memory", "pids"}:
            continue
        with pytest.raises(NotFound, match=f"{BASE}/none"):
            use()
    with pytest.raises((NotFound, Unsupported)):
        none.apply(Limits(pids=5))


def test_forks_beyond_the_limit_of_tasks_fail(group: Cgroup) -> None:
    needs(group, "pids")
    group.apply(Limits(pids=8))
    code = """
made = 0
try:
    while True:
        if not os.fork():
            sys.stdin.read()
            os._exit(0)
        made += 1
except BlockingIOError:
    print(made, flush=True)
import signal; signal.pause()
"""
    with running(group, code) as process:
        assert process.stdout
        assert process.stdout.readline() == b"7\n"
        used = group.usage()
        assert (used.pids, used.pids_limit) == (8, 8)
        assert len(group.pids()) == 8
        group.kill()
        assert group.pids() == []


def test_memory_beyond_the_limit_is_killed_for_and_counted(group: Cgroup) -> None:
    needs(group, "memory")
    # Version 1 counts no failures where the sum with swap is limited as well.
    group.apply(Limits(memory_bytes=32 * MIB))
    assert group.oom_kills() == 0
    with running(group, "x = bytearray(8 << 20)\nprint('on', flush=True)\nsys.stdin.read(1)\n"
                        "x = bytearray(64 << 20)") as process:  # fmt: skip
        started(process)
        used = group.usage().memory
        assert used is not None and 8 * MIB <= used.current_bytes <= 32 * MIB
        assert used.limit_bytes == 32 * MIB and used.stat
        if group.hierarchies.features().oom_kill_disable:
            with pytest.raises(Conflict, match="more than that is in use"):
                group.apply(Limits(memory_bytes=4 * MIB))
        assert process.stdin
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.wait(30) == -signal.SIGKILL
    used = group.usage().memory
    assert group.oom_kills() == 1 and used is not None and used.oom_kills == 1
    assert used.failures > 0 and (used.peak_bytes or 32 * MIB) <= 32 * MIB


def test_time_is_counted_and_throttled(group: Cgroup) -> None:
    needs(group, "cpu")
    group.apply(Limits(cpu_quota_us=1000, cpu_period_us=10_000))
    with running(group, SPIN) as process:
        started(process)
        eventually(lambda: group.usage().cpu.throttled_periods > 2)  # type: ignore[union-attr]
        used = group.usage().cpu
        assert used is not None
        assert used.total_ns > 0 and used.throttled_ns > 0 and used.periods >= 3
        assert used.user_ns + used.system_ns <= used.total_ns + 50_000_000


def total(group: Cgroup) -> int:
    used = group.usage().cpu
    assert used is not None
    return used.total_ns


def test_frozen_processes_stand_still_until_they_are_thawed(group: Cgroup) -> None:
    with running(group, SPIN) as process:
        started(process)
        assert not group.is_frozen()
        group.freeze()
        group.freeze()
        assert group.is_frozen()
        before = spent(process.pid)
        busy_until = time.monotonic() + 0.05
        while time.monotonic() < busy_until:
            pass
        assert spent(process.pid) == before
        group.thaw()
        assert not group.is_frozen()
        eventually(lambda: spent(process.pid) > before)


def spent(pid: int) -> int:
    """Return the processor time of a process in nanoseconds."""
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


FAMILY = """
for _ in range(3):
    if not os.fork():
        for _ in range(2):
            os.fork()
        break
print('on', flush=True)
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pause()
"""


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("at_once", [True, False])
def test_everybody_is_killed_at_any_depth(
    group: Cgroup, frozen: bool, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not at_once:
        # Kernels before 5.14 have no cgroup.kill.
        has = Place.has
        monkeypatch.setattr(Place, "has", lambda s, file: file != "cgroup.kill" and has(s, file))
    leaves = [cgroup.at(group.hierarchies, f"{group.path}/{name}") for name in ("own", "a/b/c")]
    for leaf in leaves:
        leaf.create()
    with running(leaves[0], FAMILY) as one, running(leaves[1], FAMILY) as other:
        started(one)
        started(other)
        eventually(lambda: len(group.pids()) == 2 * (3 * 4 + 1))
        if frozen:
            group.freeze()
        group.kill()
        assert group.pids() == []
        assert not group.is_frozen() or frozen
    group.kill()
    group.delete()
    assert not any(exists(group))


def test_a_fork_bomb_is_killed(group: Cgroup) -> None:
    needs(group, "pids")
    group.apply(Limits(pids=60))
    bomb = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print('on', flush=True)
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
    with running(group, bomb) as process:
        started(process)
        eventually(lambda: len(group.pids()) > 20)
        group.kill()
        assert group.pids() == []


def test_a_cgroup_with_processes_is_not_removed(group: Cgroup) -> None:
    with running(group, WAIT) as process:
        started(process)
        with pytest.raises(Conflict, match=f"processes are left: {process.pid}"):
            group.delete(timeout_s=0.02)
        assert process.poll() is None and group.pids() == [process.pid]


def test_removing_waits_for_processes_that_are_leaving(group: Cgroup) -> None:
    with running(group, "x = bytearray(100 << 20)\n" + WAIT) as process:
        started(process)
        process.kill()
        group.delete()
    assert not any(exists(group))


def test_removing_takes_what_a_container_made_below(group: Cgroup) -> None:
    for held in group.hierarchies.held:
        path = group.path
        for depth in range(40):
            path += f"/{depth}-" + "x" * 90
            os.mkdir(path, dir_fd=held.fd) if len(path) < 4000 else None
        os.mkdir(f"{group.path}/other", dir_fd=held.fd)
    group.delete()
    assert not any(exists(group))


def test_controllers_are_not_handed_down_past_processes(hierarchies: Hierarchies) -> None:
    unified = hierarchies.unified
    if not unified or not {"memory", "pids"} & set(unified.hierarchy.controllers):
        pytest.skip("version 2 has no controllers here")
    os.mkdir(BASE, dir_fd=unified.fd)
    above = cgroup.at(hierarchies, BASE)
    with running(above, WAIT) as process:
        started(process)
        with pytest.raises(FailedPrecondition, match=f"below cgroup {BASE}: it holds processes"):
            cgroup.at(hierarchies, f"{BASE}/room").create()
    assert cgroup.walk(hierarchies, BASE) == []


def test_freezing_what_does_not_freeze_ends_and_thaws(group: Cgroup) -> None:
    # A vfork parent waits for its child where the freezer of version 1 does not reach it.
    code = """
import ctypes
libc = ctypes.CDLL(None)
print('on', flush=True)
libc.system(b'exec sleep 1000')
"""
    with running(group, code) as process:
        started(process)
        eventually(lambda: len(group.pids()) == 2)
        with contextlib.suppress(Unavailable):
            group.freeze(timeout_s=1)
        group.thaw()
        group.kill()
        assert group.pids() == []


def test_two_threads_make_cgroups_side_by_side(hierarchies: Hierarchies) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(20):
                one = cgroup.at(hierarchies, f"{BASE}/both/{name}{number}")
                one.create()
                one.delete()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
