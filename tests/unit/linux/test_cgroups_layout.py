from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.errors import InvalidArgument, Unsupported
from casemate.linux.cgroups import cgroup, layout
from casemate.linux.cgroups.hierarchies import Hierarchies
from casemate.linux.cgroups.lifecycle import checked

V1 = ("cpu,cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "net_cls")


def mount(number: int, top: str, place: str, kind: str, options: str) -> str:
    return f"{number} 1 0:{number} {top} {place} rw,nosuid shared:9 - {kind} {kind} rw,{options}"


def machine(root: Path, mounts: list[str], own: str, release: str = "6.1.0-9-amd64\n") -> Path:
    """Make a tree that looks like a machine with these mounts."""
    for line in mounts:
        place = line.split(" ")[4].replace("\\040", " ")
        (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/sys/kernel").mkdir(parents=True)
    (root / "proc/sys/kernel/osrelease").write_text(release)
    other = "20 1 8:1 / / rw - ext4 /dev/sda1 rw"
    (root / "proc/self/mountinfo").write_text("\n".join([other, *mounts]) + "\n")
    (root / "proc/self/cgroup").write_text(own)
    return root


def v1_mounts() -> list[str]:
    return [mount(30 + n, "/", f"/sys/fs/cgroup/{c}", "cgroup", c) for n, c in enumerate(V1)]


def unified(root: Path, place: str, controllers: str) -> str:
    (root / place.lstrip("/")).mkdir(parents=True)
    (root / place.lstrip("/") / "cgroup.controllers").write_text(controllers)
    return mount(50, "/", place, "cgroup2", "nsdelegate")


def test_version_1_is_found_with_joined_controllers(tmp_path: Path) -> None:
    own = "4:memory:/user\n3:cpu,cpuacct:/a/b\n1:name=systemd:/init\n"
    named = mount(60, "/", "/sys/fs/cgroup/systemd", "cgroup", "xattr,name=systemd")
    found = layout.detect(str(machine(tmp_path, [*v1_mounts(), named], own)))
    assert found.mode == "v1" and found.kernel == (6, 1)
    cpu = found.of("cpuacct")
    assert cpu is not None and cpu == found.of("cpu")
    assert (cpu.controllers, cpu.selection, cpu.own) == (("cpu", "cpuacct"),) * 2 + ("a/b",)
    assert cpu.mount == f"{tmp_path}/sys/fs/cgroup/cpu,cpuacct"
    systemd = found.hierarchies[-1]
    assert (systemd.selection, systemd.own) == (("none", "name=systemd"), "init")
    assert found.of("rdma") is None


def test_version_2_is_found_with_its_controllers(tmp_path: Path) -> None:
    line = unified(tmp_path, "/sys/fs/cgroup", "cpuset cpu io memory pids\n")
    found = layout.detect(str(machine(tmp_path, [line], "0::/user.slice\n")))
    assert found.mode == "v2"
    assert found.hierarchies[0].controllers == ("cpuset", "cpu", "io", "memory", "pids")
    assert found.hierarchies[0].own == "user.slice"


def test_hybrid_is_both(tmp_path: Path) -> None:
    line = unified(tmp_path, "/sys/fs/cgroup/unified", "hugetlb\n")
    found = layout.detect(str(machine(tmp_path, [*v1_mounts(), line], "0::/\n1:pids:/\n")))
    assert found.mode == "hybrid"
    used = used_hierarchies(found)
    assert ("freezer",) not in used and ("net_cls",) not in used and ("hugetlb",) in used
    older = layout.Layout(found.hierarchies, (5, 13))
    assert ("freezer",) in used_hierarchies(older) and () not in used_hierarchies(older)


def used_hierarchies(found: layout.Layout) -> set[tuple[str, ...]]:
    hierarchies = Hierarchies(found)
    try:
        return {held.hierarchy.controllers for held in hierarchies.held}
    finally:
        hierarchies.close()


def test_the_usual_mount_of_a_hierarchy_is_preferred(tmp_path: Path) -> None:
    mounts = [
        mount(30, "/docker/abc", "/var/lib/other/cgroup/pids", "cgroup", "pids"),
        mount(31, "/", "/mnt/pids", "cgroup", "pids"),
        mount(32, "/", "/sys/fs/cgroup/pids", "cgroup", "pids"),
    ]
    found = layout.detect(str(machine(tmp_path, mounts, "1:pids:/\n")))
    assert [h.mount for h in found.hierarchies] == [f"{tmp_path}/sys/fs/cgroup/pids"]


def test_a_part_of_a_hierarchy_is_seen_from_its_top(tmp_path: Path) -> None:
    mounts = [mount(30, "/docker/abc", "/sys/fs/cgroup/pids", "cgroup", "pids")]
    found = layout.detect(str(machine(tmp_path, mounts, "1:pids:/docker/abc/engine\n")))
    assert found.hierarchies[0].own == "engine"


def test_escaped_mount_points_are_read(tmp_path: Path) -> None:
    mounts = [mount(30, "/", "/cg\\040roups", "cgroup", "pids")]
    found = layout.detect(str(machine(tmp_path, mounts, "1:pids:/\n")))
    assert found.hierarchies[0].mount == f"{tmp_path}/cg roups"


def test_a_machine_without_cgroups_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="no cgroup hierarchy is mounted"):
        layout.detect(str(machine(tmp_path, [], "")))


def test_a_kernel_that_tells_no_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="version 'custom'"):
        layout.detect(str(machine(tmp_path, v1_mounts(), "", "custom\n")))


def test_without_a_freezer_processes_cannot_be_controlled(tmp_path: Path) -> None:
    mounts = [mount(30, "/", "/sys/fs/cgroup/pids", "cgroup", "pids")]
    found = layout.detect(str(machine(tmp_path, mounts, "1:pids:/\n")))
    hierarchies = Hierarchies(found)
    try:
        with pytest.raises(Unsupported, match="no cgroup freezer"):
            cgroup.at(hierarchies, "x").kill()
        assert hierarchies.features() == (frozenset({"pids"}), False, False, False)
        with pytest.raises(Unsupported, match="no memory controller is mounted"):
            cgroup.at(hierarchies, "x").apply(cgroup.Limits(memory_bytes=1 << 20))
    finally:
        hierarchies.close()


@pytest.mark.parametrize("path", ["casemate/a", "/casemate/a", "casemate/a/"])
def test_slashes_around_a_path_do_not_matter(path: str) -> None:
    assert checked(path) == "casemate/a"


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", ".", "..", "a/../b", "a//b", "a/./b", "a\nb", "a\0b", "a\x7f", "x" * 256),
        *("é" * 200, "a/" * 33 + "a", "\ud800"),
    ],
)
def test_what_is_no_path_of_a_cgroup_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid cgroup"):
        checked(path)


@given(st.text())
def test_a_checked_path_stays_below_the_root(path: str) -> None:
    try:
        good = checked(path)
    except InvalidArgument:
        return
    assert not good.startswith("/") and not {"", ".", ".."} & set(good.split("/"))
