"""Options and walls become a runtime spec."""

from __future__ import annotations

import msgspec
import pytest

from casemate.errors import InvalidArgument
from casemate.oci.runtime import Device, DeviceRule, Memory, Mount, Pids, Resources, RuntimeSpec
from casemate.spec.identity import Identity
from casemate.spec.make import make
from casemate.spec.options import Options
from casemate.walls import capabilities, profiles

CONTAINER = profiles.CONTAINER


def made(**asked: object) -> RuntimeSpec:
    """Return the spec of a container that asks for little."""
    options = Options(args=("sh",), env=("PATH=/bin",), cwd="/", user=Identity(), hostname="box")
    return make(options._replace(**asked), CONTAINER)  # type: ignore[arg-type]


def destinations(spec: RuntimeSpec) -> list[str]:
    """Return where things are mounted, in order."""
    return [mount.destination for mount in spec.mounts]


def test_a_default_container_has_all_walls() -> None:
    spec = made()
    assert {n.type for n in spec.linux.namespaces} == CONTAINER.namespaces
    assert destinations(spec) == [m.destination for m in CONTAINER.mounts]
    assert spec.linux.masked_paths == CONTAINER.masked_paths
    assert spec.linux.readonly_paths == CONTAINER.readonly_paths
    assert spec.linux.resources.pids == Pids(CONTAINER.pids_limit)
    assert spec.linux.resources.devices == CONTAINER.device_rules
    assert spec.hostname == "box"


def test_inheritable_and_ambient_capabilities_stay_empty() -> None:
    """CVE-2022-24769 and its family."""
    for user in (Identity(), Identity(1000, 1000)):
        sets = made(user=user, capabilities=capabilities.DEFAULT).process.capabilities
        assert (sets.inheritable, sets.ambient) == ((), ())
        assert set(sets.bounding) == set(capabilities.DEFAULT)


def test_mounts_of_the_user_come_last_and_outer_ones_first() -> None:
    mounts = [Mount(path, "bind", "/x", ("rbind",)) for path in ("/a/b/c", "/z", "/a", "/a/b")]
    spec = made(mounts=tuple(mounts))
    assert destinations(spec)[-4:] == ["/z", "/a", "/a/b", "/a/b/c"]


def test_a_standard_file_system_can_be_replaced() -> None:
    mount = Mount("/dev/shm", "bind", "/x", ("rbind",))
    spec = made(mounts=(mount,))
    assert destinations(spec).count("/dev/shm") == 1 and spec.mounts[-1] == mount


def test_what_the_container_needs_cannot_be_replaced() -> None:
    with pytest.raises(InvalidArgument, match="needs its own"):
        made(mounts=(Mount("/proc", "bind", "/x", ("rbind",)),))


@pytest.mark.parametrize("path", ["/sys", "/dev"])
def test_what_the_walls_are_made_of_is_covered_not_replaced(path: str) -> None:
    mount = Mount(path, "bind", "/x", ("rbind",))
    spec = made(mounts=(mount,))
    assert destinations(spec).count(path) == 2 and spec.mounts[-1] == mount


def test_shared_memory_is_as_large_as_asked() -> None:
    (shm,) = (m for m in made(shm_bytes=12345).mounts if m.destination == "/dev/shm")
    assert [o for o in shm.options if o.startswith("size=")] == ["size=12345"]


def test_a_host_name_belongs_to_a_namespace_of_its_own() -> None:
    spec = made(namespaces=CONTAINER.namespaces - {"uts"}, domainname="example")
    assert (spec.hostname, spec.domainname) == ("", "")


def test_a_shared_network_is_not_configured() -> None:
    assert "net.ipv4.ip_unprivileged_port_start" in made().linux.sysctl
    shared = made(namespaces=CONTAINER.namespaces - {"network"})
    assert shared.linux.sysctl == {}
    joined = made(
        namespaces=CONTAINER.namespaces - {"network"}, joined=(("network", "/proc/1/ns/net"),)
    )
    assert [n.path for n in joined.linux.namespaces if n.type == "network"] == ["/proc/1/ns/net"]
    assert joined.linux.sysctl == {}


def test_settings_of_the_user_win() -> None:
    spec = made(sysctls=(("net.ipv4.ip_unprivileged_port_start", "1024"), ("kernel.shmmax", "1")))
    assert spec.linux.sysctl["net.ipv4.ip_unprivileged_port_start"] == "1024"
    assert spec.linux.sysctl["kernel.shmmax"] == "1"


def test_limits_of_the_user_are_kept_beside_the_profiles() -> None:
    rule = DeviceRule(True, "c", 10, 229)
    asked = Resources(memory=Memory(limit=1 << 20))
    spec = made(resources=asked, device_rules=(rule,))
    assert spec.linux.resources.memory == Memory(limit=1 << 20)
    assert spec.linux.resources.pids == Pids(CONTAINER.pids_limit)
    assert spec.linux.resources.devices == (*CONTAINER.device_rules, rule)
    assert made(resources=Resources(pids=Pids(5))).linux.resources.pids == Pids(5)
    assert made(resources=Resources(pids=Pids(-1))).linux.resources.pids == Pids(-1)


def test_devices_are_added_to_the_default_ones() -> None:
    fuse = Device("/dev/fuse", "c", 10, 229)
    assert made(devices=(fuse,)).linux.devices == (*CONTAINER.devices, fuse)


def test_paths_can_be_uncovered() -> None:
    assert made(masked_paths=()).linux.masked_paths == ()
    assert made(masked_paths=("/x",)).linux.masked_paths == ("/x",)
    assert made(readonly_paths=()).linux.readonly_paths == ()


def test_walls_of_the_profile_cannot_be_lowered_by_saying_nothing() -> None:
    strict = CONTAINER._replace(no_new_privileges=True, readonly_root=True)
    options = Options(args=("sh",), env=(), cwd="/", user=Identity(), hostname="")
    spec = make(options, strict)
    assert spec.process.no_new_privileges and spec.root.readonly


def test_the_spec_survives_its_document() -> None:
    spec = made(mounts=(Mount("/a", "tmpfs", "tmpfs", ("ro",)),), oom_score_adj=5, terminal=True)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=RuntimeSpec) == spec
