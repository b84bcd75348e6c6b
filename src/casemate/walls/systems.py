"""Systems: which walls are moved for an init that runs a whole system as the first process.

A system is data alone; docs/system.md tells how to use them. What all of them need is little: their
cgroups to divide, file systems in memory where a boot expects them empty, and to end themselves.
Nothing here is chosen by what is in an image: the user names the system.

Source: systemd, CONTAINER_INTERFACE; man 1 init (sysvinit), halt (busybox); man 2 reboot.
"""

from __future__ import annotations

from typing import NamedTuple

from casemate.errors import InvalidArgument
from casemate.oci.runtime import Mount
from casemate.walls import capabilities, standard
from casemate.walls.profiles import Profile

#: What the first process finds in its environment: that it is in a container, and whose.
ENVIRONMENT = "container=casemate"
_ENDS_ITSELF = "CAP_SYS_BOOT"  # reboot(2), which ends a process namespace of one's own and no more


class System(NamedTuple):
    """A kind of init. ``stop_signal`` asks it to shut down in order, which takes it up to
    ``stop_timeout_s``; ``mounts`` are what is in memory.
    """

    name: str
    stop_signal: str
    stop_timeout_s: int
    mounts: tuple[Mount, ...]


_BOOT = (standard.RUN, standard.LOCK)

SYSTEMD = System(
    name="systemd",
    stop_signal="SIGRTMIN+3",  # halt.target
    stop_timeout_s=90,  # as long as it gives each of its services
    # Where its tmp.mount, which takes a capability, would mount the same.
    mounts=(*_BOOT, standard.TMP),
)
SYSVINIT = System(
    name="sysvinit",
    stop_signal="SIGINT",  # "ctrlaltdel" of /etc/inittab: all runlevels' stop scripts, then the end
    stop_timeout_s=60,
    mounts=_BOOT,
)
BUSYBOX = System(
    name="busybox",
    stop_signal="SIGUSR2",  # "shutdown" of /etc/inittab, then power off
    stop_timeout_s=60,
    mounts=_BOOT,
)
SYSTEMS = {system.name: system for system in (BUSYBOX, SYSTEMD, SYSVINIT)}


def named(name: str) -> System:
    """Return the system ``name``. Raises InvalidArgument."""
    if name not in SYSTEMS:
        raise InvalidArgument(f"invalid --system {name[:80]!r}: there is {', '.join(SYSTEMS)}")
    return SYSTEMS[name]


def on(profile: Profile, system: System) -> Profile:
    """Return ``profile`` with the walls moved that ``system`` needs moved; the others stay."""
    own = {mount.destination for mount in system.mounts}
    return profile._replace(
        mounts=tuple(_delegated(mount) for mount in profile.mounts),
        memory=(*profile.memory, *system.mounts),
        scratch=tuple(mount for mount in profile.scratch if mount.destination not in own),
        capabilities=capabilities.united(
            profile.capabilities, (*capabilities.DEFAULT, _ENDS_ITSELF)
        ),
        seccomp=profile.seccomp and "default",
        readonly_root=False,
    )


def _delegated(mount: Mount) -> Mount:
    return standard.CGROUP_OWN if mount.destination == standard.CGROUP.destination else mount
