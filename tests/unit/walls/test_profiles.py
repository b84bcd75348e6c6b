from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import Error, InvalidArgument, PermissionDenied
from casemate.linux.capabilities import NAMES
from casemate.oci.runtime import DeviceRule, Rlimit
from casemate.walls import devices, limits, machine, masks, profiles

HARD = {"NOFILE": 20000, "NPROC": 96365, "CORE": -1}


def test_every_closed_path_is_absolute_known_once_and_has_a_reason() -> None:
    entries = (*masks.MASKED, *masks.READONLY)
    assert len({entry.path for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.path.startswith(("/proc/", "/sys/")) and entry.reason


def test_the_container_hides_at_least_what_docker_hides() -> None:
    hidden = set(masks.masked([0, 3]))
    assert hidden >= set(
        "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats"
        " /proc/sched_debug /proc/scsi /proc/timer_list /proc/timer_stats /sys/firmware"
        " /sys/devices/virtual/powercap".split()
    )
    assert "/sys/devices/system/cpu/cpu3/thermal_throttle" in hidden
    assert set(masks.readonly()) == set(
        "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger".split()
    )


def test_the_default_devices_are_covered_by_the_default_rules() -> None:
    first, *rest = devices.RULES
    assert first == DeviceRule(False) and all(rule.allow for rule in rest)
    for device in devices.DEFAULT:
        assert DeviceRule(True, device.type, device.major, device.minor) in rest
    for rule in rest:
        assert rule.access == "m" or rule.major in (1, 5, 136)


def test_mounts_come_parents_first_and_only_dev_holds_device_nodes() -> None:
    seen: list[str] = []
    for mount in profiles.CONTAINER.mounts:
        assert not any(other.startswith(mount.destination + "/") for other in seen)
        seen.append(mount.destination)
        assert "nosuid" in mount.options
        if mount.destination not in ("/dev", "/dev/pts"):
            assert {"nodev", "noexec"} <= set(mount.options)
    assert seen == [
        *("/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm")
    ]


def test_privileged_drops_the_walls_and_keeps_the_namespaces() -> None:
    open_ = profiles.privileged(profiles.CONTAINER, NAMES[:5])
    assert open_.namespaces == profiles.CONTAINER.namespaces
    assert open_.capabilities == NAMES[:5]
    assert open_.masked_paths == open_.readonly_paths == () and not open_.seccomp
    assert open_.device_rules == (DeviceRule(True),)
    assert not any("ro" in mount.options for mount in open_.mounts)


def test_profiles_are_found_by_name() -> None:
    assert profiles.named("container") is profiles.CONTAINER
    with pytest.raises(InvalidArgument, match="isolation 'vault': there is process, container"):
        profiles.named("vault")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("c 42:* rmw", DeviceRule(True, "c", 42, None, "rwm")),
        ("b 8:0 r", DeviceRule(True, "b", 8, 0, "r")),
        ("a *:* rwm", DeviceRule(True, "a", None, None, "rwm")),
        ("c 1:3 rr", DeviceRule(True, "c", 1, 3, "r")),
    ],
)
def test_device_cgroup_rules_are_read(text: str, rule: DeviceRule) -> None:
    assert devices.parse_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "c 1:3", "c 1:3 x", "d 1:3 r", "c 1 r", "c -1:3 r", "c 4294967296:0 r"),
        *("c 1:3 r\n", "c  1:3 r", "c ١:3 r", "c 1:3 rwmr"),
    ],
)
def test_other_device_cgroup_rules_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid device cgroup rule"):
        devices.parse_rule(text)


def test_default_limits_fit_under_the_engines_own() -> None:
    assert limits.defaults(HARD) == (
        Rlimit("RLIMIT_CORE", 0, -1),
        Rlimit("RLIMIT_NOFILE", 1024, 20000),
    )
    assert limits.defaults({"NOFILE": -1})[1] == Rlimit("RLIMIT_NOFILE", 1024, 524288)
    assert limits.defaults({"NOFILE": 256})[1] == Rlimit("RLIMIT_NOFILE", 256, 256)


def test_asked_limits_replace_the_defaults() -> None:
    asked = [Rlimit("RLIMIT_NOFILE", 10, 20), Rlimit("RLIMIT_CPU", 5, -1)]
    assert limits.merged(asked, HARD, may_raise=False) == (
        Rlimit("RLIMIT_CORE", 0, -1),
        Rlimit("RLIMIT_CPU", 5, -1),
        Rlimit("RLIMIT_NOFILE", 10, 20),
    )


def test_a_limit_above_the_engines_own_needs_its_capability() -> None:
    for hard in (20001, -1):
        asked = [Rlimit("RLIMIT_NOFILE", 10, hard)]
        with pytest.raises(PermissionDenied, match="own hard limit is 20000 and it lacks CAP_SYS"):
            limits.merged(asked, HARD, may_raise=False)
        assert asked[0] in limits.merged(asked, HARD, may_raise=True)


@pytest.mark.parametrize(
    "limit",
    [
        Rlimit("NOFILE", 1, 1),
        Rlimit("RLIMIT_NOFILES", 1, 1),
        Rlimit("RLIMIT_NOFILE", 2, 1),
        Rlimit("RLIMIT_NOFILE", -1, 1),
        Rlimit("RLIMIT_NOFILE", -2, 1),
        Rlimit("RLIMIT_NOFILE", 1, 1 << 63),
    ],
)
def test_what_is_no_limit_is_refused(limit: Rlimit) -> None:
    with pytest.raises(InvalidArgument):
        limits.merged([limit], {}, may_raise=True)


@given(st.integers(), st.integers(), st.integers(-1, 1 << 40))
def test_no_limit_ever_exceeds_the_engines_own(soft: int, hard: int, own: int) -> None:
    try:
        found = limits.merged([Rlimit("RLIMIT_AS", soft, hard)], {"AS": own}, may_raise=False)
    except Error:
        return
    assert own == -1 or -1 != found[0].hard <= own


def test_facts_about_a_machine_are_read(tmp_path: Path) -> None:
    (tmp_path / "thread-self").mkdir()
    (tmp_path / "thread-self/status").write_text("CapBnd:\t21\n")
    for name in ("cpu0/thermal_throttle", "cpu10/thermal_throttle", "cpu2/x", "cpufreq"):
        (tmp_path / "devices/system/cpu" / name).mkdir(parents=True)
    facts = machine.read(str(tmp_path), str(tmp_path))
    assert facts.capabilities == ("CAP_CHOWN", "CAP_KILL")
    assert facts.thermal_cpus == (0, 10)
    assert facts.kernel >= (4, 0)
    assert facts.hard_limits["NOFILE"] != 0
    assert machine.read(str(tmp_path), str(tmp_path / "none")).thermal_cpus == ()
