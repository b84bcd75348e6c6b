"""What is asked of this machine and it does not have is refused at once, in Docker's words.

Source: moby daemon/daemon_unix.go for the rules; where it only warns, an option is refused here.
"""

from __future__ import annotations

import os

from casemate.engine.model import HostConfig
from casemate.errors import InvalidArgument, Unsupported
from casemate.linux.cgroups import cpuset, hugepages, ioweight
from casemate.linux.cgroups.hierarchies import Hierarchies

_BILLION = 1_000_000_000


def check(host: HostConfig, hierarchies: Hierarchies) -> None:
    """Refuse limits that this machine cannot keep. Raises InvalidArgument, Unsupported."""
    _check_processors(host)
    if host.cpuset_cpus or host.cpuset_mems:
        _check_sets(host, hierarchies)
    if host.oom_kill_disable or host.memory_swappiness not in (None, -1):
        _check_memory(host, hierarchies)
    if (host.blkio_weight or host.blkio_weight_device) and not ioweight.is_known():
        raise Unsupported(
            "--blkio-weight is not supported here: no block device has the scheduler bfq, and to"
            " the others a weight means nothing",
            hint="echo bfq > /sys/block/NAME/queue/scheduler, where the kernel has it",
        )
    if host.hugepage_limits:
        _check_hugepages(host, hierarchies)


def _check_processors(host: HostConfig) -> None:
    number = len(os.sched_getaffinity(0)) if host.nano_cpus else 0
    if host.nano_cpus and not _BILLION // 100 <= host.nano_cpus <= number * _BILLION:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {number}.00, as there are only {number} CPUs available"
        )


def _check_sets(host: HostConfig, hierarchies: Hierarchies) -> None:
    top = hierarchies.find("cpuset", ".")
    if top is None:
        raise Unsupported("--cpuset-cpus and --cpuset-mems: no cpuset controller is mounted")
    for asked, file, name, what in (
        (host.cpuset_cpus, "cpuset.cpus", "cpus", "CPUs"),
        (host.cpuset_mems, "cpuset.mems", "mems", "memory nodes"),
    ):
        try:
            wanted = cpuset.parse_list(asked)
        except InvalidArgument as error:
            reason = f"Invalid value {asked[:80]} for cpuset {name}: {error.message}"
            raise InvalidArgument(reason) from error
        available = cpuset.available(top, file)
        if not cpuset.inside(wanted, cpuset.parse_list(available)):
            raise InvalidArgument(
                f"Requested {what} are not available - requested {asked[:80]}, available:"
                f" {available}"
            )


def _check_memory(host: HostConfig, hierarchies: Hierarchies) -> None:
    features = hierarchies.features()
    if host.oom_kill_disable and not features.oom_kill_disable:
        raise Unsupported("--oom-kill-disable is not supported: this kernel always has the killer")
    if host.memory_swappiness not in (None, -1) and not features.swappiness:
        raise Unsupported("--memory-swappiness is not supported: cgroups of version 2 have none")


def _check_hugepages(host: HostConfig, hierarchies: Hierarchies) -> None:
    if hierarchies.find("hugetlb", ".") is None:
        raise Unsupported("--hugepage-limit is not supported: no hugetlb controller is mounted")
    known = hugepages.sizes()
    for limit in host.hugepage_limits or ():
        if limit.page_size not in known:
            raise InvalidArgument(
                f"invalid --hugepage-limit {limit.page_size[:40]}: this machine has"
                f" {', '.join(known) or 'no huge pages'}"
            )
        if not 0 <= limit.limit < 1 << 62:
            raise InvalidArgument(
                f"invalid --hugepage-limit {limit.page_size}: {limit.limit} is no number of bytes"
            )


def warnings(host: HostConfig) -> tuple[str, ...]:
    """Return what whoever asks for this should know."""
    if host.oom_kill_disable and not host.memory:
        return (
            "OOM killer is disabled for the container, but no memory limit is set, this can result"
            " in the system running out of resources.",
        )
    return ()
