"""Rules that hold for every plan, whatever it is for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.oci.runtime import Device, Mount, Rlimit
from casemate.runtime.plan import Plan
from casemate.runtime.steps import SIGNATURES, Step
from casemate.spec.identity import Identity
from unit.runtime.cases import CASES, HOST, HYBRID, OPTIONS, V2, container, execution

#: What needs privilege that the change of identity may take away.
PRIVILEGED = {
    *("mount", "mount_at", "move_mount", "fsopen", "fsmount", "open_tree", "setattr", "mask"),
    *("readonly", "mknod", "pivot", "hostname", "domainname", "unshare", "setns", "groups"),
    *("bounding", "rlimit", "oom_score_adj", "write", "stdio_owner", "keyring", "pty"),
}
#: What reaches the host's file system by a path.
BY_PATH = {"open", "mount", "mount_at"}
ALL = sorted(CASES)


def steps_of(plan: Plan) -> list[Step]:
    """Return the steps in the room, in their order."""
    return [*plan.ahead, *plan.inside]


def places(steps: list[Step], *names: str) -> list[int]:
    """Return where steps of ``names`` are."""
    return [number for number, item in enumerate(steps) if item.op in names]


def check(plan: Plan) -> None:
    """Hold ``plan`` against all rules."""
    steps = steps_of(plan)
    (end,) = places(steps, "exec")
    assert end == len(steps) - 1
    assert all(n == end - 1 for n in places(steps, "init"))
    (identity,) = places(steps, "identity")
    assert all(n < identity for n in places(steps, *PRIVILEGED))
    assert places(steps, "keyring") and places(steps, "bounding") and places(steps, "groups")
    check_filter(steps, identity)
    check_root(steps)
    check_registers(plan)


def check_filter(steps: list[Step], identity: int) -> None:
    """The filter comes as late as it can: only what it must allow anyway comes after."""
    (capabilities,) = places(steps, "capabilities")
    assert identity < capabilities
    for number in places(steps, "seccomp"):
        assert identity < number < capabilities
        assert {item.op for item in steps[number + 1 :]} <= {"capabilities", "init", "exec"}
        assert all(n < number for n in places(steps, "no_new_privs"))
    assert all(identity < n for n in places(steps, "chdir"))


def check_root(steps: list[Step]) -> None:
    """Behind the pivot, and in an exec, no path of the host is there to be reached."""
    for pivot in places(steps, "pivot"):
        after = {item.op for item in steps[pivot:]}
        assert not after & (BY_PATH | {"target", "mask", "readonly", "mknod", "symlink", "write"})
        assert all(n < pivot for n in places(steps, "pty"))


def check_registers(plan: Plan) -> None:
    """What is read was written before, and is not closed; nothing is written over."""
    check_held(plan, [*plan.outside, *plan.before], set(plan.registers))
    check_held(plan, steps_of(plan), set(plan.passed))


def check_held(plan: Plan, steps: list[Step], held: set[str]) -> None:
    for item in steps:
        for kind, value in zip(SIGNATURES[item.op], item.operands, strict=True):
            if kind == "w":
                assert value not in held, f"{item} writes over {value}"
                held.add(str(value))
            elif kind == "r":
                assert value in held, f"{item} reads {value}, which is not there"
        if item.op == "close":
            held.remove(str(item.operands[0]))


@pytest.mark.parametrize("name", ALL)
def test_every_case_keeps_the_rules(name: str) -> None:
    check(CASES[name]())


@pytest.mark.parametrize("name", ALL)
def test_every_plan_can_be_encoded(name: str) -> None:
    plan = CASES[name]()
    for data in (plan.ahead_file(), plan.start_file(), plan.whole_file()):
        assert len(data) >= 32


PATHS = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)
MOUNTS = st.builds(
    lambda path, kind: Mount(path, *kind),
    PATHS,
    st.sampled_from(
        [
            ("bind", "/srv", ("rbind", "rprivate", "ro")),
            ("bind", "/srv", ("rbind", "rshared")),
            ("bind", "/srv", ("bind", "slave")),
            ("tmpfs", "tmpfs", ("size=1k",)),
        ]
    ),
)
DEVICES = st.builds(
    lambda path, kind: Device(f"/dev{path}/x", kind, 1, 2), PATHS, st.sampled_from("cbp")
)
CHOICES = st.fixed_dictionaries(
    {
        "mounts": st.lists(MOUNTS, max_size=4, unique_by=lambda m: m.destination).map(tuple),
        "devices": st.lists(DEVICES, max_size=3, unique_by=lambda d: d.path).map(tuple),
        "terminal": st.booleans(),
        "no_new_privileges": st.booleans(),
        "readonly_root": st.booleans(),
        "user": st.sampled_from([Identity(), Identity(5, 6, (6,))]),
        "rlimits": st.sampled_from([(), (Rlimit("RLIMIT_CORE", 0, 0),)]),
        "oom_score_adj": st.sampled_from([None, 0, 1000]),
        "masked_paths": st.sampled_from([None, (), ("/proc/kcore", "/x")]),
        "sysctls": st.sampled_from([(), (("net.ipv4.conf.default.x", "1"), ("kernel.sem", "1"))]),
        "namespaces": st.sampled_from([OPTIONS.namespaces, OPTIONS.namespaces - {"network"}]),
    }
)


@settings(max_examples=200, deadline=None)
@given(CHOICES, st.booleans(), st.booleans(), st.sampled_from([V2, HYBRID]))
def test_every_container_keeps_the_rules(
    choices: dict[str, object], init: bool, overlay_layers: bool, cgroups: object
) -> None:
    options = OPTIONS._replace(**choices)  # type: ignore[arg-type]
    host = HOST._replace(cgroups=cgroups, overlay_layers=overlay_layers)  # type: ignore[arg-type]
    check(container(options, host=host, init=init))
    check(execution(options))


def test_what_is_made_ahead_does_not_depend_on_who_it_is_for() -> None:
    one = container(OPTIONS._replace(args=("a",), user=Identity(7, 7), hostname="x", cwd="/q"))
    two = container(OPTIONS._replace(terminal=True, mounts=(Mount("/t", "tmpfs", "tmpfs"),)))
    assert one.ahead == two.ahead and one.namespaces == two.namespaces


@pytest.mark.parametrize("name", ["mapped", "mapped_binds", "sandbox"])
def test_the_supervisor_gives_the_room_what_it_promises(name: str) -> None:
    plan = CASES[name]()
    written = {str(item.operands[0]) for item in plan.before if SIGNATURES[item.op].startswith("w")}
    closed = {str(item.operands[0]) for item in plan.before if item.op == "close"}
    assert plan.made and set(plan.made) <= written - closed


@pytest.mark.parametrize("name", ["mapped", "mapped_binds", "sandbox"])
def test_whoever_acts_as_another_owner_of_files_is_the_hosts_root_again(name: str) -> None:
    owners = [item.operands[0] for item in CASES[name]().before if item.op == "file_owner"]
    assert owners == [1 << 31, 0]


@pytest.mark.parametrize("name", ["mapped", "mapped_binds", "sandbox"])
def test_a_room_in_a_user_namespace_reaches_no_path_of_the_host_as_its_root(name: str) -> None:
    steps = steps_of(CASES[name]())
    (root,) = places(steps, "own_root")
    assert all(n < root for n in places(steps, *BY_PATH))


def test_rules_of_landlock_come_last_before_the_filter() -> None:
    steps = steps_of(CASES["sandbox"]())
    (entered,), (filtered,) = places(steps, "landlock_enter"), places(steps, "seccomp")
    assert places(steps, "no_new_privs")[0] < entered < filtered


def test_nothing_is_made_for_a_network_before_it_is_joined() -> None:
    plan = CASES["joined_network"]()
    assert not plan.ahead and plan.inside[0].op == "setns"


def test_an_exec_enters_all_the_containers_namespaces_at_once() -> None:
    steps = steps_of(execution())
    assert steps[0].op == "setns" and len(places(steps, "setns")) == 1
