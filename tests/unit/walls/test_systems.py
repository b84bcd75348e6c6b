"""Systems as data: what they move of each profile, and that it is no more."""

from __future__ import annotations

import pytest

from casemate.engine import policy, systems
from casemate.engine.model import Config, HostConfig, RestartPolicy
from casemate.engine.records import State
from casemate.engine.signals import number
from casemate.errors import InvalidArgument
from casemate.walls import profiles, standard
from casemate.walls import systems as walls
from casemate.walls.profiles import CONTAINER, SANDBOX

REBOOT, SHUT_DOWN = 129, 130
SECOND = 1_000_000_000


def host(**more: object) -> HostConfig:
    return HostConfig(security_opt=["system=systemd"], **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("system", walls.SYSTEMS.values(), ids=walls.SYSTEMS)
def test_a_system_moves_few_walls(system: walls.System) -> None:
    moved = walls.on(CONTAINER, system)
    same = {f for f in CONTAINER._fields if getattr(moved, f) == getattr(CONTAINER, f)}
    assert set(CONTAINER._fields) - same == {"mounts", "memory", "capabilities"}
    assert set(moved.capabilities) - set(CONTAINER.capabilities) == {"CAP_SYS_BOOT"}
    assert number(system.stop_signal) and system.stop_timeout_s > 0


@pytest.mark.parametrize("system", walls.SYSTEMS.values(), ids=walls.SYSTEMS)
def test_a_system_in_a_sandbox_keeps_what_holds_it(system: walls.System) -> None:
    moved = walls.on(SANDBOX, system)
    assert moved.namespaces == SANDBOX.namespaces and moved.network == "none"
    assert moved.landlock and moved.no_new_privileges and moved.seccomp == "default"
    assert (moved.masked_paths, moved.readonly_paths) == (
        SANDBOX.masked_paths,
        SANDBOX.readonly_paths,
    )
    places = [m.destination for m in (*moved.memory, *moved.scratch)]
    assert len(places) == len(set(places))


def test_only_the_cgroups_are_mounted_otherwise() -> None:
    moved = walls.on(CONTAINER, walls.SYSTEMD)
    assert set(moved.mounts) ^ set(CONTAINER.mounts) == {standard.CGROUP, standard.CGROUP_OWN}
    assert [m.destination for m in moved.mounts] == [m.destination for m in CONTAINER.mounts]


def test_privileged_systems_without_a_filter_stay_so() -> None:
    moved = walls.on(profiles.privileged(CONTAINER, ("CAP_CHOWN",)), walls.SYSTEMD)
    assert moved.seccomp == ""


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="there is busybox, systemd, sysvinit"):
        walls.named("openrc")


def test_the_image_and_the_user_say_first_how_it_is_stopped() -> None:
    assert systems.completed(Config(), HostConfig()) == Config()
    full = systems.completed(Config(), host())
    assert (full.stop_signal, full.stop_timeout) == ("SIGRTMIN+3", 90)
    full = systems.completed(Config(stop_signal="TERM", stop_timeout=0), host())
    assert (full.stop_signal, full.stop_timeout) == ("TERM", 0)


@pytest.mark.parametrize("name", ["no", "always", "on-failure", "unless-stopped"])
def test_what_reboots_is_started_and_what_is_shut_down_is_not(name: str) -> None:
    asked = host(restart_policy=RestartPolicy(name))
    state = State(restart_count=2)
    again = systems.after(asked, state, REBOOT, 60 * SECOND)
    assert again and again.number == 3
    assert systems.after(asked, state, SHUT_DOWN, 60 * SECOND) is None
    other = systems.after(asked, state, 1, 60 * SECOND)
    assert other == policy.after(asked.restart_policy, state, 1, 60 * SECOND)


def test_somebodys_wish_and_vanishing_come_before_a_reboot() -> None:
    assert systems.after(host(), State(stopped=True), REBOOT, SECOND) is None
    assert systems.after(host(auto_remove=True), State(), REBOOT, SECOND) is None


def test_other_containers_know_no_reboot() -> None:
    assert systems.after(HostConfig(), State(), REBOOT, SECOND) is None
    always = HostConfig(restart_policy=RestartPolicy("always"))
    assert systems.after(always, State(), SHUT_DOWN, SECOND) is not None
