"""What a user namespace holds back by itself, with the walls in front of it taken away.

Root in it has every capability there, no filter, and nothing is masked unless a test says so: none
of that is to count for anything outside.
"""

from __future__ import annotations

import errno
import os
import struct
import tarfile
from pathlib import Path

import pytest

from escape.conftest import Load
from support.engine import RunningEngine
from support.images import member, tar

pytestmark = pytest.mark.root

PRIVATE = {"UsernsMode": "private"}
UNFILTERED = {**PRIVATE, "SecurityOpt": ["seccomp=unconfined"]}
#: Everything but the user namespace is gone.
BARE = {**UNFILTERED, "CapAdd": ["ALL"], "MaskedPaths": [], "ReadonlyPaths": []}

#: Settings of the whole machine, below /proc/sys.
MACHINE = (
    *("kernel/core_pattern", "kernel/modprobe", "kernel/panic", "kernel/sysrq", "kernel/pid_max"),
    *("vm/swappiness", "vm/drop_caches", "fs/file-max", "fs/suid_dumpable", "kernel/kptr_restrict"),
)
#: Calls for the root of the machine, by their numbers on x86-64.
CALLS = {
    "init_module": "175 0 0 0",
    "kexec_load": "246 0 0 0 0",
    "swapon": "167 0 0",
    "acct": "163 0",
    "settimeofday": "164 0 0",
    "iopl": "172 3",
    "syslog": "103 3 0 0",
    "delete_module": "176 0 0",
    "ioperm": "173 0 1 1",
}


def test_settings_of_the_machine_cannot_be_written(engine: RunningEngine) -> None:
    before = {name: _setting(name) for name in MACHINE}
    id_ = engine.run_container("busybox", "sleep", "1000", **BARE)
    for name in MACHINE:
        said = engine.exec(id_, "sh", "-c", f"echo 1 > /proc/sys/{name}")
        assert said.code != 0, (name, said)
    trigger = engine.exec(id_, "sh", "-c", "echo h > /proc/sysrq-trigger")
    assert trigger.code != 0
    assert {name: _setting(name) for name in MACHINE} == before


def _setting(name: str) -> str:
    path = Path("/proc/sys") / name
    return path.read_text() if os.access(path, os.R_OK) and name != "vm/drop_caches" else ""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the calls' numbers are x86-64's")
@pytest.mark.parametrize("name", CALLS)
def test_calls_for_the_machines_root_are_refused(
    engine: RunningEngine, load: Load, name: str
) -> None:
    said = engine.says(load(), "intruder", "call", *CALLS[name].split(), **BARE)
    assert int(said) in (-errno.EPERM, -errno.ENOSYS)  # or this kernel has no such call


@pytest.mark.parametrize(
    "mount",
    [
        "-t ext4 /dev/loop0 /mnt",
        "-t devtmpfs none /mnt",
        "-t debugfs none /mnt",
        "-t tracefs none /mnt",
        "-t securityfs none /mnt",
        "-t erofs /bin/busybox /mnt",
        "-t xfs /bin/busybox /mnt",
    ],
)
def test_file_systems_of_the_machine_cannot_be_mounted(engine: RunningEngine, mount: str) -> None:
    id_ = engine.run_container("busybox", "sh", "-c", f"mkdir /mnt; mount {mount}", **BARE)
    assert engine.wait(id_) != 0
    assert b"ermission denied" in engine.output(id_)[1] or b"not permitted" in engine.output(id_)[1]


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_what_is_masked_cannot_be_mounted_anew_below(engine: RunningEngine, kind: str) -> None:
    """A fresh one in a namespace of one's own would have no masks."""
    id_ = engine.run_container("busybox", "sleep", "1000", **UNFILTERED)
    script = f"mkdir -p /mnt; mount -t {kind} none /mnt"
    said = engine.exec(id_, "unshare", "-U", "-r", "-m", "-p", "-n", "-f", "sh", "-c", script)
    assert said.code != 0 and b"permission denied" in said.err, said


def test_limits_cannot_be_moved_from_within(engine: RunningEngine) -> None:
    """Own cgroups may be mounted again, with version 1; what is in them is the host's."""
    script = (
        "mkdir /mnt; mount -t cgroup -o memory none /mnt || mount -t cgroup2 none /mnt;"
        " cd /mnt || exit 1; for f in release_agent memory.limit_in_bytes"
        " memory.max notify_on_release cgroup.procs; do echo 1 > $f && echo wrote $f; done; true"
    )
    host = {**BARE, "Memory": 64 << 20}
    id_ = engine.run_container("busybox", "sh", "-c", script, **host)
    engine.wait(id_)
    assert b"wrote" not in engine.output(id_)[0]


def test_masks_cannot_be_taken_off_in_a_namespace_below(engine: RunningEngine) -> None:
    """Mounts that come from a namespace above are locked."""
    id_ = engine.run_container("busybox", "sleep", "1000", **UNFILTERED)
    script = "unshare -U -r -m sh -c 'umount /proc/kcore; umount /proc/sys; umount /sys/firmware'"
    said = engine.exec(id_, "sh", "-c", script)
    assert said.err.count(b"umount: can't unmount") == 3, said
    said = engine.exec(
        id_, "sh", "-c", "unshare -U -r -m sh -c 'mount -o remount,rw,bind /proc/sys'"
    )
    assert said.code != 0


@pytest.mark.parametrize("isolation", ["container", "sandbox"])
def test_there_is_no_namespace_below_with_a_filter(engine: RunningEngine, isolation: str) -> None:
    host = {**PRIVATE, "Isolation": isolation}
    id_ = engine.run_container("busybox", "unshare", "-U", "true", **host)
    assert engine.wait(id_) != 0
    assert b"not permitted" in engine.output(id_)[1]


def test_device_nodes_are_neither_made_nor_opened(engine: RunningEngine, load: Load) -> None:
    nodes = (
        member("mem", tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=1),
        member("disk", tarfile.BLKTYPE, mode=0o666, devmajor=7, devminor=0),
    )
    id_ = engine.run_container(load(tar({}, *nodes)), "sleep", "1000", **BARE)
    for script in (
        "head -c1 /mem",
        "head -c1 /disk",
        ": > /mem",
        "mknod /n c 1 3",
        "mknod /n b 7 0",
    ):
        said = engine.exec(id_, "sh", "-c", script)
        assert said.code != 0 and b"not permitted" in said.err, (script, said)


def test_ids_are_those_of_the_namespace_and_no_others(engine: RunningEngine) -> None:
    id_ = engine.run_container("busybox", "sleep", "1000", **BARE)
    for script in (
        "echo 0 0 1 > /proc/self/uid_map",
        "echo 0 0 4294967295 > /proc/self/gid_map",
        "touch /x; chown 70000 /x",
        "touch /x; chown 0:70000 /x",
        "su -s /bin/sh -c true '#70000'",
        # A namespace below cannot have ids that this one has not.
        "mkfifo /f; unshare -U sh -c 'echo > /f; cat /f' & read x < /f;"
        " echo 0 70000 1 > /proc/$!/uid_map; code=$?; echo > /f; exit $code",
    ):
        said = engine.exec(id_, "sh", "-c", script)
        assert said.code != 0, (script, said)


def test_groups_cannot_be_dropped_in_a_namespace_below(engine: RunningEngine, load: Load) -> None:
    """A file that a group may not read stays closed to its members: setgroups is denied."""
    closed = member("closed", tarfile.REGTYPE, mode=0o604, gid=2000), b"secret"
    id_ = engine.run_container(load(tar({}, closed)), "sleep", "1000", **UNFILTERED)
    assert engine.exec(id_, "cat", "/closed", User="bob").code != 0
    below = "cat /proc/self/setgroups; intruder call 116 0 0; cat /closed"
    said = engine.exec(id_, "sh", "-c", f"unshare -U -r sh -c '{below}'", User="bob")
    assert said.out.split() == [b"deny", b"-1"], said


CAPABILITIES = struct.pack("<IIIII", 0x02000001, 0xFFFFFFFF, 0, 0x1FF, 0)


@pytest.mark.parametrize("isolation", ["container", "sandbox"])
def test_capabilities_of_files_are_bounded(
    engine: RunningEngine, load: Load, isolation: str
) -> None:
    """A file of the image that gives everything gives what the container has, or cannot be run."""
    info = member("bin/mighty", tarfile.REGTYPE, mode=0o755)
    info.pax_headers = {
        "SCHILY.xattr.security.capability": CAPABILITIES.decode("utf-8", "surrogateescape")
    }
    busybox = Path("/bin/busybox").read_bytes()
    image = load(tar({}, (info, busybox)))
    id_ = engine.run_container(image, "sleep", "1000", Isolation=isolation, **PRIVATE)
    bounding = _mask(engine.exec(id_, "grep", "CapBnd", "/proc/self/status", User="bob").out)
    said = engine.exec(id_, "/bin/mighty", "grep", "CapEff", "/proc/self/status", User="bob")
    assert said.code != 0 or _mask(said.out) & ~bounding == 0, said


def test_another_user_than_root_runs_in_it(engine: RunningEngine) -> None:
    """With pipes of its own, which nobody in the namespace may give away."""
    script = "id -u; echo again > /dev/stdout; stat -L -c %u /dev/fd/1"
    for isolation in ("container", "sandbox"):
        host = {**PRIVATE, "Isolation": isolation, "User": "bob"}
        assert engine.says("busybox", "sh", "-c", script, **host).split() == [
            "1000",
            "again",
            "1000",
        ]
        id_ = engine.run_container("busybox", "sleep", "1000", **host)
        assert engine.exec(id_, "sh", "-c", script).out.split() == [b"1000", b"again", b"1000"]


def _mask(line: bytes) -> int:
    return int(line.split()[1], 16)
