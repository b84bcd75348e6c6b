"""Paths of /proc and /sys that a container must not read, or not write, each with the reason.

Source: moby daemon/pkg/oci/defaults.go; Podman's list for selinuxfs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Path(NamedTuple):
    """A path in the container and why it is closed."""

    path: str
    reason: str


MASKED = (
    Path("/proc/acpi", "switches hardware of the host (CVE-2018-10892)"),
    Path("/proc/asound", "plays and records on the host's sound cards"),
    Path("/proc/interrupts", "counts the host's key strokes and packets (GHSA-6fw5-f8r9-fgfm)"),
    Path("/proc/kcore", "is the memory of the host"),
    Path("/proc/keys", "lists the kernel keys of all users"),
    Path("/proc/latency_stats", "shows what the whole host waits for"),
    Path("/proc/sched_debug", "lists the processes of the host"),
    Path("/proc/scsi", "removes disks of the host (CVE-2017-16539)"),
    Path("/proc/timer_list", "shows kernel addresses and the host's processes"),
    Path("/proc/timer_stats", "lists the processes of the host"),
    Path("/sys/devices/virtual/powercap", "measures what others compute (GHSA-jq35-85cj-fj4p)"),
    Path("/sys/firmware", "shows and on some machines changes firmware variables"),
    Path("/sys/fs/selinux", "is the policy of the host"),
)

READONLY = (
    Path("/proc/bus", "configures the host's PCI devices"),
    Path("/proc/fs", "configures file systems of the host"),
    Path("/proc/irq", "moves the host's interrupts"),
    Path("/proc/sys", "configures the kernel; sysctls come from the engine"),
    Path("/proc/sysrq-trigger", "stops the host"),
)


def masked(thermal_cpus: Iterable[int] = ()) -> tuple[str, ...]:
    """Return the paths to hide; ``thermal_cpus`` are the processors with throttle counters.

    The counters tell what neighbours compute (GHSA-6fw5-f8r9-fgfm).
    """
    counters = (f"/sys/devices/system/cpu/cpu{n}/thermal_throttle" for n in thermal_cpus)
    return (*(entry.path for entry in MASKED), *counters)


def readonly() -> tuple[str, ...]:
    """Return the paths that may be read and not written."""
    return tuple(entry.path for entry in READONLY)
