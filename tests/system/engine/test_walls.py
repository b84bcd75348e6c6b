"""What a container may not, and what it may when asked: read from inside."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from casemate.errors import InvalidArgument, PermissionDenied, Unsupported
from casemate.linux.capabilities import NAMES
from support.engine import RunningEngine

pytestmark = pytest.mark.root

STATUS = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"


def status(engine: RunningEngine, **host: object) -> dict[str, str]:
    said = engine.says("busybox", "sh", "-c", STATUS, **host)
    return dict(line.split(":\t") for line in said.splitlines())


def mask(*names: str) -> str:
    return f"{sum(1 << NAMES.index(f'CAP_{name}') for name in names):016x}"


DEFAULT = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP")
DEFAULT = (*DEFAULT, "NET_BIND_SERVICE", "SYS_CHROOT", "SETFCAP")


def test_the_default_is_small(engine: RunningEngine) -> None:
    found = status(engine)
    assert found["CapBnd"] == found["CapEff"] == found["CapPrm"] == mask(*DEFAULT)
    assert found["CapInh"] == found["CapAmb"] == mask()
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "2")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ({"CapAdd": ["NET_ADMIN"]}, (*DEFAULT, "NET_ADMIN")),
        ({"CapAdd": ["cap_net_raw"]}, (*DEFAULT, "NET_RAW")),
        ({"CapDrop": ["ALL"]}, ()),
        ({"CapDrop": ["ALL"], "CapAdd": ["KILL", "CHOWN"]}, ("KILL", "CHOWN")),
        ({"CapDrop": ["KILL"]}, tuple(n for n in DEFAULT if n != "KILL")),
    ],
)
def test_capabilities_are_added_and_dropped(
    engine: RunningEngine, host: dict[str, object], expected: tuple[str, ...]
) -> None:
    assert status(engine, **host)["CapBnd"] == mask(*expected)


def test_another_user_holds_none(engine: RunningEngine) -> None:
    found = status(engine, User="bob", CapAdd=["NET_ADMIN"])
    assert found["CapEff"] == found["CapPrm"] == found["CapAmb"] == mask()


def test_privileged_is_everything_that_the_engine_has(engine: RunningEngine) -> None:
    with open("/proc/self/status", encoding="ascii") as file:
        own = dict(line.rstrip().split(":\t") for line in file if line.startswith("Cap"))
    found = status(engine, Privileged=True)
    assert found["CapBnd"] == own["CapBnd"]
    assert found["Seccomp"] == "0"
    said = engine.says(
        "busybox", "sh", "-c", "mount -t tmpfs x /tmp && ls /dev/null && cat /proc/sysrq-trigger"
        " >/dev/null; mount | grep -c ' /proc/'; true", Privileged=True,
    )  # fmt: skip
    assert said.split()[-1] == "0"


def test_no_new_privileges(engine: RunningEngine) -> None:
    for option in ("no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"):
        assert status(engine, SecurityOpt=[option])["NoNewPrivs"] == "1"
    assert status(engine, SecurityOpt=["no-new-privileges=false"])["NoNewPrivs"] == "0"


def test_a_seccomp_profile_of_ones_own(engine: RunningEngine) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
    }
    script = "mkdir /x; echo $?; touch /y; echo $?"
    id_ = engine.run_container(
        "busybox", "sh", "-c", script, SecurityOpt=[f"seccomp={json.dumps(profile)}"]
    )
    engine.wait(id_)
    out, err = engine.output(id_)
    assert out == b"1\n0\n"
    assert b"No space left on device" in err


def test_seccomp_can_be_left_away(engine: RunningEngine) -> None:
    assert status(engine, SecurityOpt=["seccomp=unconfined"])["Seccomp"] == "0"
    assert status(engine, SecurityOpt=["seccomp=builtin"])["Seccomp"] == "2"


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("apparmor=mine", Unsupported),
        ("label=type:x", Unsupported),
        ("systempaths=unconfined", Unsupported),
        ("nope", Unsupported),
        ("seccomp=/etc/passwd", InvalidArgument),
        ('seccomp={"defaultAction": "SCMP_ACT_NOPE"}', InvalidArgument),
    ],
)
def test_security_options_that_would_do_nothing_are_refused(
    engine: RunningEngine, option: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        engine.create("busybox", "true", SecurityOpt=[option])
    assert engine.create("busybox", "true", SecurityOpt=["apparmor=unconfined", "label=disable"])


# ---- devices ----


def test_a_device_is_there_and_can_be_opened(engine: RunningEngine) -> None:
    mapping = {"PathOnHost": "/dev/zero", "PathInContainer": "/dev/mine/nought"}
    script = "head -c3 /dev/mine/nought | od -An -tx1; stat -c '%t:%T %a' /dev/mine/nought"
    said = engine.says("busybox", "sh", "-c", script, Devices=[mapping])
    assert said.split() == ["00", "00", "00", "1:5", "666"]


def test_a_directory_of_devices(engine: RunningEngine, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    os.mknod(tmp_path / "deep/nought", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    os.chmod(tmp_path / "deep/nought", 0o640)
    os.chown(tmp_path / "deep/nought", 7, 8)
    os.mkfifo(tmp_path / "fifo")
    mapping = {"PathOnHost": str(tmp_path), "PathInContainer": "/dev/own", "CgroupPermissions": "r"}
    script = "find /dev/own -type c -o -type p; stat -c '%t:%T %a %u:%g' /dev/own/deep/nought"
    said = engine.says("busybox", "sh", "-c", script, Devices=[mapping])
    assert said.split() == ["/dev/own/deep/nought", "1:5", "640", "7:8"]


def test_privileged_has_every_device_of_the_host(engine: RunningEngine) -> None:
    def listed(root: str) -> set[str]:
        found = set()
        for directory, names, files in os.walk(root):
            names[:] = [n for n in names if n not in ("pts", "shm", "mqueue")]
            for name in files:
                status = os.lstat(f"{directory}/{name}")
                if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                    found.add(f"{directory}/{name} {status.st_rdev}".removeprefix(root))
        return found

    id_ = engine.run_container("busybox", "sleep", "1000", Privileged=True)
    inside = f"/proc/{engine.inspect(id_)['State']['Pid']}/root/dev"
    own = {"console", "ptmx"}
    wanted = {d for d in listed("/dev") if d.split()[0].removeprefix("/") not in own}
    assert wanted <= listed(inside)
    assert engine.exec(id_, "dd", "if=/dev/loop-control", "count=0").code == 0
    plain = engine.run_container("busybox", "sleep", "1000")
    assert engine.exec(plain, "ls", "/dev/loop-control").code != 0


def test_access_to_a_device_is_what_was_asked(engine: RunningEngine) -> None:
    mapping = {"PathOnHost": "/dev/full", "PathInContainer": "/dev/full", "CgroupPermissions": "r"}
    made = "mknod /tmp/loop b 7 0; cat /tmp/loop | head -c1; mknod /tmp/mem c 1 1; cat /tmp/mem"
    id_ = engine.run_container(
        "busybox", "sh", "-c", made, Devices=[mapping], CapAdd=["MKNOD", "SYS_RAWIO"]
    )
    engine.wait(id_)
    assert engine.output(id_)[1].count(b"Operation not permitted") == 2
    assert (
        engine.says(
            "busybox", "sh", "-c", "mknod /tmp/c c 1 7; head -c1 /tmp/c | wc -c",
            CapAdd=["MKNOD"], DeviceCgroupRules=["c 1:7 r"],
        )
        == "1\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("mapping", "match"),
    [
        # Not NotFound: clients would take it for a missing image, and pull that.
        ({"PathOnHost": "/dev/nope"}, "no such file"),
        ({"PathOnHost": ""}, "not absolute"),
        ({"PathOnHost": "/etc/passwd"}, "not a device node"),
        ({"PathOnHost": "/etc"}, "not a device node"),
        ({"PathOnHost": "/dev/null", "PathInContainer": "/x"}, "not below /dev"),
        ({"PathOnHost": "/dev/null", "PathInContainer": "/dev/../etc/x"}, "not below /dev"),
        ({"PathOnHost": "/dev/null", "PathInContainer": "/dev/pts/0"}, "has its own"),
        ({"PathOnHost": "/dev/null", "PathInContainer": "/dev/shm"}, "has its own"),
        ({"PathOnHost": "/dev/zero", "PathInContainer": "/dev/null"}, "has its own"),
        ({"PathOnHost": "/dev/null", "CgroupPermissions": "x"}, "access"),
    ],
)
def test_what_is_no_device_is_refused(
    engine: RunningEngine, mapping: dict[str, str], match: str
) -> None:
    with pytest.raises(InvalidArgument, match=match):
        engine.create("busybox", "true", Devices=[mapping])


# ---- the root ----


def test_a_read_only_root(engine: RunningEngine) -> None:
    script = "touch /x; touch /dev/x; echo 1 > /etc/hosts && touch /tmp/ok && ls /tmp"
    id_ = engine.run_container(
        "busybox", "sh", "-c", script, ReadonlyRootfs=True, Tmpfs={"/tmp": ""}
    )
    engine.wait(id_)
    out, err = engine.output(id_)
    assert b"touch: /x: Read-only file system" in err
    assert out == b"ok\n" or b"hosts" in err


def test_masked_and_read_only_paths_can_be_replaced(engine: RunningEngine) -> None:
    said = engine.says(
        "busybox", "sh", "-c", "cat /proc/meminfo | wc -c; ls /proc/acpi 2>&1 | head -1",
        MaskedPaths=["/proc/meminfo"], ReadonlyPaths=[],
    )  # fmt: skip
    assert said.splitlines()[0] == "0"


def test_the_host_is_not_to_be_seen(engine: RunningEngine) -> None:
    script = (
        "ls -A /sys/fs/cgroup/memory /proc/1/root/ /proc/self/cwd | wc -l; cat /proc/self/cgroup"
    )
    said = engine.says("busybox", "sh", "-c", script)
    assert all(
        line.rpartition(":")[2] == "/" for line in said.splitlines()[1:] if "systemd" not in line
    )


def test_privileged_execs_are_privileged(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000")
    usual = engine.exec(id_, "sh", "-c", STATUS).out
    more = engine.exec(id_, "sh", "-c", STATUS, Privileged=True).out
    assert b"CapEff:\t" + mask(*DEFAULT).encode() in usual
    assert b"CapEff:\t" + mask(*DEFAULT).encode() not in more


def test_the_store_is_nobodys_business(engine: RunningEngine) -> None:
    """Escape table B.3, CVE-2021-41091: another user of the host cannot enter."""
    for path in (engine.root, f"{engine.root}/layers", f"{engine.root}/snapshots"):
        assert os.stat(path).st_mode & 0o077 == 0
    assert os.stat(engine.socket).st_mode & 0o777 == 0o600


def test_a_capability_that_the_engine_lacks_is_told(engine: RunningEngine) -> None:
    with open("/proc/self/status", encoding="ascii") as file:
        held = int(next(x.split()[1] for x in file if x.startswith("CapBnd")), 16)
    lacking = [n for i, n in enumerate(NAMES) if not held & 1 << i]
    if not lacking:
        pytest.skip("this engine has every capability")
    with pytest.raises((InvalidArgument, PermissionDenied), match="does not have it itself"):
        engine.create("busybox", "true", CapAdd=[lacking[0]])
