"""The file systems that a container gets beside its root, each with the reason for its options.

Source: moby daemon/pkg/oci/defaults.go.
"""

from __future__ import annotations

from casemate.oci.runtime import Mount

# Of the container's PID namespace. A set-user-id program, a device or any program there would come
# from the kernel's view of some other process.
PROC = Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev"))
# Fresh, so that no node is the image's; device nodes work here and nowhere else.
DEV = Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k"))
# An instance of its own, so that no terminal of the host can be opened; 5 is tty.
PTS = Mount(
    "/dev/pts",
    "devpts",
    "devpts",
    ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
)
# Of the container's network namespace; most of it configures the host.
SYS = Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro"))
# Programs read their limits here; writing would change them (CVE-2022-0492).
CGROUP = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "ro"))
# The same for who divides its own part of them: version 2, which can be handed over safely, and of
# it what is below the limits. Whatever the host mounts, this is all that is seen.
CGROUP_OWN = Mount("/sys/fs/cgroup", "cgroup2", "cgroup", ("nosuid", "noexec", "nodev"))
# POSIX message queues of the IPC namespace.
MQUEUE = Mount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev"))
# POSIX shared memory; so much unless asked otherwise, counted as the container's memory.
SHM_BYTES = 64 << 20
SHM = Mount(
    "/dev/shm",
    "tmpfs",
    "shm",
    ("nosuid", "noexec", "nodev", "mode=1777", f"size={SHM_BYTES >> 10}k"),
)

ALL = (PROC, DEV, PTS, SYS, CGROUP, MQUEUE, SHM)

_SCRATCH = ("nosuid", "nodev", "size=65536k")
# What is written at boot and must not be there at the next one.
RUN = Mount("/run", "tmpfs", "tmpfs", (*_SCRATCH, "mode=755"))
LOCK = Mount(
    "/run/lock", "tmpfs", "tmpfs", ("nosuid", "nodev", "noexec", "size=5120k", "mode=1777")
)
# As large as a system's own would be: half of the memory, within the container's limit.
TMP = Mount("/tmp", "tmpfs", "tmpfs", ("nosuid", "nodev", "mode=1777"))
#: What programs expect to be able to write below a root that is read-only; counted as memory.
SCRATCH = (
    Mount("/tmp", "tmpfs", "tmpfs", (*_SCRATCH, "mode=1777")),
    RUN,
    Mount("/var/tmp", "tmpfs", "tmpfs", (*_SCRATCH, "mode=1777")),
)
