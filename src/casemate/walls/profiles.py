"""Isolation profiles: which walls stand around a room unless the user moves one.

A profile is data alone. ``container`` is the default. The runtime reads none of this: it executes
the spec that is made from it.

Source: moby daemon/pkg/oci/defaults.go for the mounts.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from casemate.errors import Unsupported
from casemate.oci.runtime import Device, DeviceRule, Mount
from casemate.walls import capabilities, devices, masks

# /proc: of the container's PID namespace. A set-user-id program, a device or any program there
# would come from the kernel's view of some other process.
_PROC = Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev"))
# /dev: fresh, so that no node is the image's; device nodes work here and nowhere else.
_DEV = Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k"))
# /dev/pts: an instance of its own, so that no terminal of the host can be opened; 5 is tty.
_PTS = Mount(
    "/dev/pts",
    "devpts",
    "devpts",
    ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
)
# /sys: of the container's network namespace; most of it configures the host.
_SYS = Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro"))
# /sys/fs/cgroup: programs read their limits here; writing would change them (CVE-2022-0492).
_CGROUP = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "ro"))
# /dev/mqueue: POSIX message queues of the IPC namespace.
_MQUEUE = Mount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev"))
# /dev/shm: POSIX shared memory; 64 MiB unless asked otherwise, counted as the container's memory.
_SHM = Mount("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k"))


class Profile(NamedTuple):
    """The walls of a room.

    ``namespaces`` are made new, the others shared with the host. ``seccomp`` tells whether the
    default profile applies. ``pids_limit`` is a number of tasks, 0 for none.
    """

    name: str
    namespaces: frozenset[str]
    mounts: tuple[Mount, ...]
    masked_paths: tuple[str, ...]
    readonly_paths: tuple[str, ...]
    capabilities: tuple[str, ...]
    devices: tuple[Device, ...]
    device_rules: tuple[DeviceRule, ...]
    seccomp: bool
    no_new_privileges: bool
    readonly_root: bool
    pids_limit: int


CONTAINER = Profile(
    name="container",
    namespaces=frozenset({"mount", "uts", "ipc", "pid", "network", "cgroup", "time"}),
    mounts=(_PROC, _DEV, _PTS, _SYS, _CGROUP, _MQUEUE, _SHM),
    masked_paths=masks.masked(),
    readonly_paths=masks.readonly(),
    capabilities=capabilities.DEFAULT,
    devices=devices.DEFAULT,
    device_rules=devices.RULES,
    seccomp=True,
    no_new_privileges=False,
    readonly_root=False,
    pids_limit=2048,
)
PROFILES = {profile.name: profile for profile in (CONTAINER,)}


def named(name: str) -> Profile:
    """Return the profile ``name``; raises Unsupported when there is none."""
    if name not in PROFILES:
        raise Unsupported(
            f"isolation {name[:80]!r} is not supported: there is {', '.join(sorted(PROFILES))}"
        )
    return PROFILES[name]


def privileged(profile: Profile, available: Collection[str]) -> Profile:
    """Return ``profile`` as ``--privileged`` leaves it: the namespaces stay, the rest falls.

    ``available`` are the capabilities that the engine has to give.
    """
    return profile._replace(
        mounts=tuple(_writable(mount) for mount in profile.mounts),
        masked_paths=(),
        readonly_paths=(),
        capabilities=capabilities.choose((), (), (), privileged=True, available=available),
        device_rules=devices.EVERYTHING,
        seccomp=False,
    )


def _writable(mount: Mount) -> Mount:
    options = tuple(option for option in mount.options if option != "ro")
    return Mount(mount.destination, mount.type, mount.source, options)
