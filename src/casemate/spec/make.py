"""Options and walls become a runtime spec."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from casemate.errors import InvalidArgument
from casemate.oci.runtime import (
    Linux,
    Mount,
    Namespace,
    NamespaceKind,
    Pids,
    Process,
    Resources,
    Root,
    RuntimeSpec,
    User,
)
from casemate.spec.options import Options
from casemate.walls import capabilities
from casemate.walls.profiles import Profile

_KINDS: tuple[NamespaceKind, ...] = ("mount", "uts", "ipc", "pid", "network", "cgroup", "time")

#: What a network namespace of one's own may be told without harm: ping without a capability, and
#: low ports for everybody. Docker sets the same two.
_NETWORK_SYSCTLS = {
    "net.ipv4.ip_unprivileged_port_start": "0",
    "net.ipv4.ping_group_range": "0 2147483647",
}


def make(options: Options, profile: Profile) -> RuntimeSpec:
    """Return the runtime spec of a container with ``options`` behind the walls of ``profile``."""
    return RuntimeSpec(
        process=process(options, profile),
        root=Root(path="root", readonly=options.readonly_root or profile.readonly_root),
        hostname=options.hostname if "uts" in options.namespaces else "",
        domainname=options.domainname if "uts" in options.namespaces else "",
        mounts=tuple(_mounts(options, profile)),
        linux=Linux(
            namespaces=tuple(_namespaces(options)),
            devices=(*profile.devices, *options.devices),
            cgroups_path=options.cgroup,
            resources=_resources(options, profile),
            seccomp=options.seccomp,
            sysctl=_sysctls(options),
            masked_paths=_either(options.masked_paths, profile.masked_paths),
            readonly_paths=_either(options.readonly_paths, profile.readonly_paths),
        ),
    )


def process(options: Options, profile: Profile) -> Process:
    """Return the process of ``options``: the first one, or one more that is added later."""
    return Process(
        args=options.args,
        env=options.env,
        cwd=options.cwd,
        user=User(options.user.uid, options.user.gid, None, options.user.groups),
        terminal=options.terminal,
        console_size=options.console_size,
        capabilities=capabilities.sets(options.capabilities, root=options.user.uid == 0),
        rlimits=options.rlimits,
        no_new_privileges=options.no_new_privileges or profile.no_new_privileges,
        oom_score_adj=options.oom_score_adj,
    )


def _mounts(options: Options, profile: Profile) -> Iterator[Mount]:
    """Yield the standard file systems without those that the user replaces, then the user's.

    What the user mounts over /sys and /dev covers them: they are made all the same, since the walls
    and the terminal are made of what is in them.
    """
    replaced = {mount.destination for mount in options.mounts}
    if "/proc" in replaced:
        raise InvalidArgument("cannot mount over /proc: the container needs its own")
    for mount in profile.mounts:
        if mount.destination in replaced - {"/sys", "/dev"}:
            continue
        if mount.destination == "/dev/shm" and options.shm_bytes:
            kept = tuple(o for o in mount.options if not o.startswith("size="))
            size = f"size={options.shm_bytes}"
            yield Mount(mount.destination, mount.type, mount.source, (*kept, size))
        else:
            yield mount
    yield from sorted(options.mounts, key=lambda m: m.destination.rstrip("/").count("/"))


def _namespaces(options: Options) -> Iterator[Namespace]:
    for kind in _KINDS:
        if kind == "network" and options.network_path:
            yield Namespace(kind, options.network_path)
        elif kind in options.namespaces:
            yield Namespace(kind)


def _resources(options: Options, profile: Profile) -> Resources:
    """Return the limits: the user's, with the profile's where the user says nothing."""
    asked = options.resources
    limit = profile.pids_limit
    pids = asked.pids or (Pids(limit) if limit else None)
    rules = (*profile.device_rules, *options.device_rules)
    return msgspec.structs.replace(asked, pids=pids, devices=rules)


def _sysctls(options: Options) -> dict[str, str]:
    own_network = "network" in options.namespaces and not options.network_path
    defaults = _NETWORK_SYSCTLS if own_network else {}
    return {**defaults, **dict(options.sysctls)}


def _either(asked: tuple[str, ...] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return default if asked is None else asked
