"""A container's record becomes the options of its runtime spec."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from casemate.engine import devicenodes, mountpoints, security, sharing, systems
from casemate.engine.model import HostConfig
from casemate.engine.records import MountPoint, Record
from casemate.engine.resources import resources, rlimits
from casemate.engine.sharing import Sharing
from casemate.engine.terminal import check_size
from casemate.errors import InvalidArgument, PermissionDenied
from casemate.oci.runtime import ConsoleSize, Mount, Rlimit, Seccomp
from casemate.spec import environment
from casemate.spec.identity import Identity
from casemate.spec.options import Options
from casemate.walls import capabilities, ids, limits, profiles, seccomp
from casemate.walls import systems as walls_of_systems
from casemate.walls.machine import Machine
from casemate.walls.profiles import Profile
from casemate.walls.standard import SHM

_SHM = SHM.destination
#: Which settings belong to which kind of namespace.
_SYSCTLS = {
    "ipc": ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."),
    "network": ("net.",),
    "uts": ("kernel.domainname",),
}


def profile_of(host: HostConfig, machine: Machine) -> Profile:
    """Return the walls that ``host`` asks for on ``machine``."""
    profile = profiles.on(asked_profile(host), machine.thermal_cpus)
    if host.privileged:
        return profiles.privileged(profile, machine.capabilities)
    return profile


def asked_profile(host: HostConfig) -> Profile:
    """Return the profile of ``host``, with the walls moved that its system needs moved."""
    profile = profiles.named(host.isolation)
    system = systems.of(host)
    return walls_of_systems.on(profile, system) if system else profile


class Surroundings(NamedTuple):
    """What of a container is not in its record.

    ``files`` are what the engine itself mounts: hosts, host name, resolver. ``joined`` are the
    kinds of namespaces that are another container's, with their paths.
    """

    hostname: str = ""
    cgroup: str = ""
    files: tuple[Mount, ...] = ()
    joined: tuple[tuple[str, str], ...] = ()


def readonly_root(host: HostConfig, machine: Machine) -> bool:
    """Tell whether the root is read-only, by an option or by the profile."""
    asked = host.readonly_rootfs or security.parse(host.security_opt).read_only
    return profile_of(host, machine).readonly_root if asked is None else asked


def options(
    record: Record, identity: Identity, machine: Machine, *, surroundings: Surroundings
) -> Options:
    """Return the options of the container's first process and its surroundings."""
    config, host, first_id = record.fixed.config, record.fixed.host, record.fixed.first_id
    profile = profile_of(host, machine)
    names = _capabilities(host, profile, machine)
    asked = security.parse(host.security_opt)
    shared = sharing.of(host, config)
    points = tuple(mountpoints.as_mount(p, mapped=first_id > 0) for p in record.fixed.mounts)
    _check_ids(identity, first_id)
    _check_binds(record.fixed.mounts, first_id)
    height, width = check_size(*host.console_size)
    return Options(
        args=record.fixed.args,
        env=variables(record, surroundings.hostname, identity),
        cwd=directory(config.working_dir),
        user=identity,
        hostname=surroundings.hostname,
        domainname=config.domainname,
        terminal=config.tty,
        console_size=ConsoleSize(height, width) if height and width else None,
        mounts=(*surroundings.files, *_shared_memory(shared, points), *points),
        capabilities=names,
        seccomp=_seccomp(asked.seccomp, profile.seccomp, names, machine),
        no_new_privileges=asked.no_new_privileges,
        readonly_root=readonly_root(host, machine),
        masked_paths=_paths(host.masked_paths, host.privileged),
        readonly_paths=_paths(host.readonly_paths, host.privileged),
        devices=devicenodes.nodes(host),
        device_rules=tuple(devicenodes.rules(host)),
        rlimits=_rlimits(host, machine, first_id),
        sysctls=tuple(_sysctls(host, shared)),
        oom_score_adj=_oom_score_adj(host, machine, first_id),
        resources=resources(host),
        cgroup=surroundings.cgroup,
        namespaces=shared.own,
        joined=surroundings.joined,
        first_id=first_id,
        omitted=frozenset({_SHM}) if shared.ipc == "none" else frozenset(),
        shm_bytes=_shm_bytes(host),
    )


def _shared_memory(shared: Sharing, points: tuple[Mount, ...]) -> Iterable[Mount]:
    """Yield the memory that goes with an IPC namespace which is the host's or another's."""
    replaced = any(point.destination == _SHM for point in points)
    if "ipc" not in shared.own and not replaced:
        yield Mount(_SHM, "bind", _SHM, ("rbind", "rprivate", "nosuid", "noexec", "nodev"))


def _shm_bytes(host: HostConfig) -> int:
    if host.shm_size < 0:
        raise InvalidArgument(f"SHM size can not be less than 0: {host.shm_size}")
    return host.shm_size


def _check_ids(identity: Identity, first_id: int) -> None:
    """Refuse users and groups that have no id on the host."""
    largest = max(identity.uid, identity.gid, *identity.groups, 0)
    if first_id and largest >= ids.SIZE:
        raise InvalidArgument(
            f"user or group {largest} is out of range: a user namespace has {ids.SIZE} ids"
        )


def _check_binds(points: Iterable[MountPoint], first_id: int) -> None:
    for point in points:
        if first_id and point.propagation in ("shared", "rshared"):
            raise InvalidArgument(
                f"cannot bind {point.source[:200]} with {point.propagation} propagation: what is"
                " mounted in a user namespace must not show on the host"
            )
        if not first_id and mountpoints.IDMAP in point.options:
            raise InvalidArgument(
                f"cannot bind {point.source[:200]} with idmap: there is no user namespace"
            )


def directory(path: str) -> str:
    """Return a working directory, absolute and without dots. Raises InvalidArgument."""
    if not path:
        return "/"
    if not path.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{path[:200]}' is invalid, it needs to be an absolute path"
        )
    if "\0" in path:
        raise InvalidArgument(f"the working directory {path[:200]!r} has a NUL")
    return posixpath.normpath(path)


def variables(record: Record, hostname: str, identity: Identity) -> tuple[str, ...]:
    """Return the environment of the container's first process."""
    config = record.fixed.config
    own = systems.environment(record.fixed.host, record.id)
    env = environment.merged(own, tuple(config.env or ()))
    return environment.completed(env, hostname=hostname, home=identity.home, terminal=config.tty)


def _capabilities(host: HostConfig, profile: Profile, machine: Machine) -> tuple[str, ...]:
    return capabilities.choose(
        profile.capabilities,
        host.cap_add or (),
        host.cap_drop or (),
        privileged=host.privileged,
        available=machine.capabilities,
    )


def _seccomp(
    asked: str | None, usual: str, names: tuple[str, ...], machine: Machine
) -> Seccomp | None:
    facts = seccomp.Facts(frozenset(names), (machine.architecture,), machine.kernel)
    return _resolved(asked, usual, facts)


@functools.lru_cache(64)
def _resolved(asked: str | None, usual: str, facts: seccomp.Facts) -> Seccomp | None:
    profile = seccomp.choose(asked, usual)
    return seccomp.resolve(profile, facts) if profile else None


def _paths(asked: list[str] | None, privileged: bool) -> tuple[str, ...] | None:
    if privileged or asked is None:
        return () if privileged else None
    return tuple(asked)


def _rlimits(host: HostConfig, machine: Machine, first_id: int) -> tuple[Rlimit, ...]:
    may_raise = _may_raise(machine, first_id)
    return limits.merged(rlimits(host.ulimits), machine.hard_limits, may_raise=may_raise)


def _may_raise(machine: Machine, first_id: int) -> bool:
    """Tell whether a first process can have more than the engine itself: one in a user namespace
    cannot.
    """
    return "CAP_SYS_RESOURCE" in machine.capabilities and not first_id


def _sysctls(host: HostConfig, shared: Sharing) -> Iterable[tuple[str, str]]:
    """Yield the settings that belong to a namespace of the container's own; no other is taken."""
    for name, value in (host.sysctls or {}).items():
        kind = next((k for k, names in _SYSCTLS.items() if name.startswith(names)), "")
        if kind not in shared.own or "/" in name or ".." in name or name.endswith("."):
            raise InvalidArgument(f"sysctl {name[:80]!r} is not allowed: it is not in a namespace")
        if not value.isprintable() or not value.strip():
            raise InvalidArgument(f"sysctl {name[:80]!r}: {value[:80]!r} is not a line of text")
        yield name, value


def _oom_score_adj(host: HostConfig, machine: Machine, first_id: int) -> int:
    if not -1000 <= host.oom_score_adj <= 1000:
        raise InvalidArgument(
            f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if host.oom_score_adj < 0 and not _may_raise(machine, first_id):
        raise PermissionDenied(
            f"cannot set --oom-score-adj to {host.oom_score_adj}: to be killed later than others"
            " takes CAP_SYS_RESOURCE, which the engine, or a user namespace, lacks"
        )
    return host.oom_score_adj
