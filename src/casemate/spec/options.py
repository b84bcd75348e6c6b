"""What a container is asked to be, after image and request are merged: the input of ``make``."""

from __future__ import annotations

from typing import NamedTuple

from casemate.oci.runtime import (
    ConsoleSize,
    Device,
    DeviceRule,
    Mount,
    Resources,
    Rlimit,
    Seccomp,
)
from casemate.spec.identity import Identity


class Options(NamedTuple):
    """Everything that the runtime spec depends on besides the walls.

    ``mounts`` come after the standard file systems. ``namespaces`` names the kinds that are new;
    the others are shared with the host. ``shm_bytes`` 0 keeps the default. ``masked_paths`` and
    ``readonly_paths`` replace the profile's when they are not None.
    """

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: Identity
    hostname: str
    domainname: str = ""
    terminal: bool = False
    console_size: ConsoleSize | None = None
    mounts: tuple[Mount, ...] = ()
    capabilities: tuple[str, ...] = ()
    seccomp: Seccomp | None = None
    no_new_privileges: bool = False
    readonly_root: bool = False
    masked_paths: tuple[str, ...] | None = None
    readonly_paths: tuple[str, ...] | None = None
    devices: tuple[Device, ...] = ()
    device_rules: tuple[DeviceRule, ...] = ()
    rlimits: tuple[Rlimit, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    oom_score_adj: int | None = None
    resources: Resources = Resources()
    cgroup: str = ""
    namespaces: frozenset[str] = frozenset(
        {"mount", "uts", "ipc", "pid", "network", "cgroup", "time"}
    )
    network_path: str = ""
    shm_bytes: int = 0
