"""A container's record becomes the options of its runtime spec."""

from __future__ import annotations

import functools
import os
import posixpath
import stat
from collections.abc import Iterable

from casemate.engine import mountpoints, security
from casemate.engine.model import Config, DeviceMapping, HostConfig
from casemate.engine.records import Record
from casemate.engine.resources import resources, rlimits
from casemate.engine.terminal import check_size
from casemate.errors import InvalidArgument, NotFound
from casemate.oci.runtime import ConsoleSize, Device, DeviceRule, Mount, Rlimit, Seccomp
from casemate.spec import environment
from casemate.spec.identity import Identity
from casemate.spec.options import Options
from casemate.walls import capabilities, devices, limits, profiles, seccomp
from casemate.walls.machine import Machine
from casemate.walls.profiles import Profile


def profile_of(host: HostConfig, machine: Machine) -> Profile:
    """Return the walls that ``host`` asks for on ``machine``."""
    profile = profiles.named(
        host.isolation if host.isolation not in ("", "default") else "container"
    )
    if host.privileged:
        return profiles.privileged(profile, machine.capabilities)
    return profile


def options(
    record: Record, identity: Identity, machine: Machine, *, cgroup: str, files: Iterable[Mount]
) -> Options:
    """Return the options of the container's first process and its surroundings.

    ``files`` are what the engine itself mounts: hosts, host name, resolver.
    """
    config, host = record.fixed.config, record.fixed.host
    profile = profile_of(host, machine)
    names = _capabilities(host, profile, machine)
    security_options = security.parse(host.security_opt)
    hostname = hostname_of(record)
    height, width = check_size(*host.console_size)
    return Options(
        args=record.fixed.args,
        env=_environment(config, hostname, identity),
        cwd=directory(config.working_dir),
        user=identity,
        hostname=hostname,
        domainname=config.domainname,
        terminal=config.tty,
        console_size=ConsoleSize(height, width) if height and width else None,
        mounts=(*files, *map(mountpoints.as_mount, record.fixed.mounts)),
        capabilities=names,
        seccomp=_seccomp(host, security_options.seccomp, names, machine),
        no_new_privileges=security_options.no_new_privileges,
        readonly_root=host.readonly_rootfs,
        masked_paths=_paths(host.masked_paths, host.privileged),
        readonly_paths=_paths(host.readonly_paths, host.privileged),
        devices=tuple(_device(d) for d in host.devices or ()),
        device_rules=tuple(_device_rules(host)),
        rlimits=_rlimits(host, machine),
        sysctls=tuple(_sysctls(host)),
        oom_score_adj=_oom_score_adj(host),
        resources=resources(host),
        cgroup=cgroup,
        namespaces=profile.namespaces - _shared(host),
        shm_bytes=host.shm_size,
    )


def hostname_of(record: Record) -> str:
    """Return the host name: the asked one, the host's own with its network, or the short id."""
    config, host = record.fixed.config, record.fixed.host
    if config.hostname:
        return config.hostname
    return os.uname().nodename if host.network_mode == "host" else record.short


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


def _environment(config: Config, hostname: str, identity: Identity) -> tuple[str, ...]:
    return environment.completed(
        tuple(config.env or ()), hostname=hostname, home=identity.home, terminal=config.tty
    )


def _capabilities(host: HostConfig, profile: Profile, machine: Machine) -> tuple[str, ...]:
    return capabilities.choose(
        profile.capabilities,
        host.cap_add or (),
        host.cap_drop or (),
        privileged=host.privileged,
        available=machine.capabilities,
    )


def _seccomp(
    host: HostConfig, asked: str | None, names: tuple[str, ...], machine: Machine
) -> Seccomp | None:
    if host.privileged and asked is None:
        return None
    return _resolved(asked, names, machine.architecture, machine.kernel)


@functools.lru_cache(64)
def _resolved(
    asked: str | None, names: tuple[str, ...], architecture: str, kernel: tuple[int, int]
) -> Seccomp | None:
    profile = seccomp.choose(asked)
    if profile is None:
        return None
    return seccomp.resolve(profile, seccomp.Facts(frozenset(names), (architecture,), kernel))


def _paths(asked: list[str] | None, privileged: bool) -> tuple[str, ...] | None:
    if privileged or asked is None:
        return () if privileged else None
    return tuple(asked)


def _device(mapping: DeviceMapping) -> Device:
    """Return the node that ``mapping`` asks for, as it is on the host."""
    try:
        found = os.stat(mapping.path_on_host)
    except OSError as error:
        raise NotFound(
            f"error gathering device information while adding custom device"
            f' "{mapping.path_on_host[:200]}": no such file or directory'
        ) from error
    kind = "c" if stat.S_ISCHR(found.st_mode) else "b" if stat.S_ISBLK(found.st_mode) else ""
    if not kind:
        raise InvalidArgument(f"{mapping.path_on_host[:200]}: not a device node")
    path = posixpath.normpath(mapping.path_in_container or mapping.path_on_host)
    if not path.startswith("/dev/"):
        raise InvalidArgument(f"cannot make device {path[:200]}: it is not below /dev")
    return Device(
        path=path,
        type=kind,
        major=os.major(found.st_rdev),
        minor=os.minor(found.st_rdev),
        file_mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
    )


def _device_rules(host: HostConfig) -> Iterable[DeviceRule]:
    for mapping in host.devices or ():
        device = _device(mapping)
        access = mapping.cgroup_permissions or "rwm"
        if not set(access) <= set("rwm"):
            raise InvalidArgument(
                f"invalid device access {access[:40]!r}: expected letters of rwm:"
                f" {mapping.path_on_host[:200]}"
            )
        yield DeviceRule(True, device.type, device.major, device.minor, access)
    for text in host.device_cgroup_rules or ():
        yield devices.parse_rule(text)


def _rlimits(host: HostConfig, machine: Machine) -> tuple[Rlimit, ...]:
    may_raise = "CAP_SYS_RESOURCE" in machine.capabilities
    return limits.merged(rlimits(host.ulimits), machine.hard_limits, may_raise=may_raise)


def _sysctls(host: HostConfig) -> Iterable[tuple[str, str]]:
    """Yield the settings that belong to a namespace of the container; no other is taken."""
    for name, value in (host.sysctls or {}).items():
        own_ipc = (
            name.startswith(("kernel.shm", "kernel.msg", "fs.mqueue.")) or name == "kernel.sem"
        )
        own_network = name.startswith("net.") and host.network_mode != "host"
        if not (own_ipc or own_network) or "/" in name or ".." in name:
            raise InvalidArgument(f"sysctl {name[:80]!r} is not allowed: it is not in a namespace")
        yield name, value


def _oom_score_adj(host: HostConfig) -> int:
    if not -1000 <= host.oom_score_adj <= 1000:
        raise InvalidArgument(
            f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    return host.oom_score_adj


def _shared(host: HostConfig) -> frozenset[str]:
    return frozenset({"network"}) if host.network_mode == "host" else frozenset()
