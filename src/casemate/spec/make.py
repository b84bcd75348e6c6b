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
from casemate.walls import capabilities, ids
from casemate.walls.profiles import Profile

_KINDS: tuple[NamespaceKind, ...] = (
    *("user", "mount", "uts", "ipc", "pid", "network", "cgroup", "time"),
)

_LAST_GROUP = 2147483647


def make(options: Options, profile: Profile) -> RuntimeSpec:
    """Return the runtime spec of a container with ``options`` behind the walls of ``profile``."""
    return RuntimeSpec(
        process=process(options, profile),
        root=Root(path="root", readonly=is_readonly(options, profile)),
        hostname=options.hostname if "uts" in options.namespaces else "",
        domainname=options.domainname if "uts" in options.namespaces else "",
        mounts=tuple(_mounts(options, profile)),
        linux=Linux(
            namespaces=tuple(_namespaces(options)),
            uid_mappings=ids.mapping(options.first_id),
            gid_mappings=ids.mapping(options.first_id),
            devices=(*profile.devices, *options.devices),
            cgroups_path=options.cgroup,
            resources=_resources(options, profile),
            seccomp=options.seccomp,
            sysctl=_sysctls(options),
            masked_paths=_either(options.masked_paths, profile.masked_paths),
            readonly_paths=_either(options.readonly_paths, profile.readonly_paths),
        ),
    )


def is_readonly(options: Options, profile: Profile) -> bool:
    """Tell whether the root file system of the container cannot be written."""
    return _chosen(options.readonly_root, profile.readonly_root)


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
        no_new_privileges=_chosen(options.no_new_privileges, profile.no_new_privileges),
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
        if mount.destination in options.omitted | replaced - {"/sys", "/dev"}:
            continue
        if mount.destination == "/dev/shm" and options.shm_bytes:
            kept = tuple(o for o in mount.options if not o.startswith("size="))
            size = f"size={options.shm_bytes}"
            yield Mount(mount.destination, mount.type, mount.source, (*kept, size))
        else:
            yield mount
    scratch = profile.scratch if is_readonly(options, profile) else ()
    memory = (m for m in (*profile.memory, *scratch) if m.destination not in replaced)
    more = (*memory, *options.mounts)
    yield from sorted(more, key=lambda m: m.destination.rstrip("/").count("/"))


def _namespaces(options: Options) -> Iterator[Namespace]:
    joined = dict(options.joined)
    for kind in _KINDS:
        if kind in joined:
            yield Namespace(kind, joined[kind])
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
    defaults = _network_sysctls(options) if "network" in options.namespaces else {}
    return {**defaults, **dict(options.sysctls)}


def _network_sysctls(options: Options) -> dict[str, str]:
    """Return what a network namespace of one's own may be told without harm: ping without a
    capability, and low ports for everybody. Docker sets the same two.
    """
    last_group = ids.SIZE - 1 if options.first_id else _LAST_GROUP
    return {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": f"0 {last_group}",
    }


def _chosen(asked: bool | None, default: bool) -> bool:
    return default if asked is None else asked


def _either(asked: tuple[str, ...] | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return default if asked is None else asked
