"""The profiles as data: what each adds to the one before, and what reaches a container of it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.engine import translate
from casemate.engine.model import HostConfig
from casemate.errors import Unavailable
from casemate.linux import landlock as rights
from casemate.oci.runtime import Mount, RuntimeSpec
from casemate.spec.identity import Identity
from casemate.spec.make import make
from casemate.spec.options import Options
from casemate.walls import ids, landlock, machine, profiles, seccomp

OPTIONS = Options(args=("sh",), env=(), cwd="/", user=Identity(), hostname="box")
MACHINE = machine.Machine("amd64", (6, 18), ("CAP_CHOWN",), {}, (0, 3), 7)
ALL_WRITING = rights.WRITE_FILE | rights.MAKE_REG | rights.REMOVE_FILE


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_counters_of_this_machines_processors_are_masked(name: str) -> None:
    profile = translate.profile_of(HostConfig(isolation=name), MACHINE)
    masked = make(OPTIONS, profile).linux.masked_paths
    for cpu in MACHINE.thermal_cpus:
        assert masked.count(f"/sys/devices/system/cpu/cpu{cpu}/thermal_throttle") == 1
    assert "/sys/devices/system/cpu/cpu1/thermal_throttle" not in masked
    assert len(masked) == len(set(masked))


def test_privileged_containers_see_the_counters() -> None:
    profile = translate.profile_of(HostConfig(privileged=True), MACHINE)
    assert make(OPTIONS, profile).linux.masked_paths == ()


def test_each_profile_is_at_least_as_tight_as_the_one_before() -> None:
    process, container, sandbox = profiles.PROFILES.values()
    assert process.namespaces < container.namespaces < sandbox.namespaces
    assert set(sandbox.capabilities) < set(container.capabilities)
    assert sandbox.pids_limit < container.pids_limit
    assert set(container.masked_paths) <= set(sandbox.masked_paths)


def names_of(profile: str, capabilities: frozenset[str]) -> set[str]:
    """Return the calls that a filter lets through, at least for some arguments."""
    facts = seccomp.Facts(capabilities, ("amd64",), (6, 18))
    spec = seccomp.resolve(seccomp.own(profile), facts)
    return {n for rule in spec.syscalls if rule.action == "SCMP_ACT_ALLOW" for n in rule.names}


def test_the_strict_filter_lets_through_less_whatever_the_capabilities() -> None:
    everything = frozenset({"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_BPF", "CAP_PERFMON"})
    strict = names_of("strict", everything)
    assert strict == names_of("strict", frozenset())
    assert strict < names_of("default", frozenset())
    refused = (
        "unshare setns mount umount2 pivot_root fsopen fsmount fsconfig open_tree move_mount"
        " mount_setattr keyctl add_key request_key bpf perf_event_open io_uring_setup userfaultfd"
        " ptrace process_vm_readv process_vm_writev clone3 vmsplice open_by_handle_at"
    )
    assert strict.isdisjoint(refused.split())


@given(st.sets(st.integers(0, 40)))
def test_ranges_of_ids_do_not_meet(count: set[int]) -> None:
    taken: list[int] = []
    for _ in count:
        taken.append(ids.free(taken, "casemate"))
    spans = sorted((first, first + ids.SIZE) for first in taken)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(spans))
    assert all(first % ids.SIZE == 0 and 1 << 31 <= first < (1 << 32) - ids.SIZE for first in taken)


def test_a_range_that_is_given_back_is_given_again() -> None:
    first = ids.free((), "casemate")
    second = ids.free((first,), "casemate")
    assert second != first and ids.free((second,), "casemate") == first


def test_when_there_is_no_range_left_it_is_said() -> None:
    with pytest.raises(Unavailable, match="in use"):
        ids.free(range(0, 1 << 32, ids.SIZE), "casemate")


# ---- landlock ----


def spec_of(*mounts: Mount, readonly: bool = True) -> RuntimeSpec:
    return make(OPTIONS._replace(mounts=mounts, readonly_root=readonly), profiles.SANDBOX)


def rules_of(spec: RuntimeSpec, version: int = 7, *, network: bool = False) -> landlock.Ruleset:
    found = landlock.rules(spec, {"/file": False}, network=network, version=version)
    assert found
    return found


def test_writing_is_allowed_where_the_mounts_allow_it() -> None:
    binds = (
        Mount("/out", "bind", "/srv", ("rbind", "rprivate", "rw")),
        Mount("/in", "bind", "/srv", ("rbind", "rprivate", "rro")),
        Mount("/one", "bind", "/file", ("rbind", "rprivate")),
    )
    allowed = dict(rules_of(spec_of(*binds)).allowed)
    assert {"/tmp", "/run", "/var/tmp", "/out"} <= allowed.keys()
    assert allowed["/out"] & ALL_WRITING == ALL_WRITING
    assert allowed["/one"] & ALL_WRITING == rights.WRITE_FILE
    assert allowed.keys().isdisjoint({"/", "/in", "/sys", "/sys/fs/cgroup"})
    assert "/" in dict(rules_of(spec_of(readonly=False)).allowed)


def test_device_nodes_are_made_nowhere() -> None:
    found = rules_of(spec_of(readonly=False))
    nodes = rights.MAKE_CHAR | rights.MAKE_BLOCK
    assert found.files & nodes == nodes
    assert not any(bits & nodes for _, bits in found.allowed)


def test_without_a_network_there_is_no_tcp() -> None:
    assert rules_of(spec_of()).network == rights.BIND_TCP | rights.CONNECT_TCP
    assert rules_of(spec_of(), network=True).network == 0


@pytest.mark.parametrize("version", range(1, 9))
def test_older_kernels_are_asked_for_what_they_know(version: int) -> None:
    found = rules_of(spec_of(), version)
    for bit, since in rights.SINCE_FILES.items():
        assert bool(found.files & bit) == (version >= since)
        assert version >= since or not any(bits & bit for _, bits in found.allowed)
    assert bool(found.network) == (version >= rights.SINCE_NETWORK)
    assert bool(found.scopes) == (version >= rights.SINCE_SCOPES)


def test_a_kernel_without_landlock_gets_no_rules() -> None:
    assert landlock.rules(spec_of(), {}, network=False, version=0) is None
