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

    ``mounts`` come after the standard file systems, which lack what is in ``omitted``.
    ``namespaces`` names the kinds that are new, ``joined`` those of others with their paths; the
    rest is shared with the host. ``first_id`` is the host id of root in a user namespace.
    ``shm_bytes`` 0 keeps the default. What is None is up to the profile.
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
    no_new_privileges: bool | None = None
    readonly_root: bool | None = None
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
    joined: tuple[tuple[str, str], ...] = ()
    first_id: int = 0
    omitted: frozenset[str] = frozenset()
    shm_bytes: int = 0
