"""The plan of a container: from an empty room to the workload's first instruction."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from casemate.errors import InvalidArgument, Unsupported
from casemate.oci.runtime import Device, Mount, RuntimeSpec
from casemate.runtime.mountoptions import NODEV, NOEXEC, NOSUID, RDONLY, MountOptions, parse
from casemate.runtime.namespaces import cgroup, devices, identity, root
from casemate.runtime.namespaces.cgroup import CgroupView
from casemate.runtime.namespaces.clone import CLONE_FLAGS
from casemate.runtime.namespaces.mounts import (
    DIRECTORY,
    FILE,
    REAL_DIRECTORY,
    attached,
    bound,
    cloned,
    filesystem,
    is_shared,
    placed,
)
from casemate.runtime.plan import Plan, Stdio
from casemate.runtime.steps import Step, step
from casemate.snapshot.mounts import RootMount
from casemate.walls.seccomp_filter import Filter

#: The file systems that every container has: made ahead, when nothing else is known of it yet.
_STANDARD = {
    "/proc": ("proc", "proc"),
    "/dev": ("dev", "tmpfs"),
    "/dev/pts": ("pts", "devpts"),
    "/dev/mqueue": ("mqueue", "mqueue"),
    "/dev/shm": ("shm", "tmpfs"),
    "/sys": ("sys", "sysfs"),
    "/sys/fs/cgroup": ("cgroup", "cgroup"),
}


class Host(NamedTuple):
    """What a plan must know of this machine.

    ``root_place`` is an empty directory where every room mounts its own root, unseen by the others;
    ``overlay_layers`` tells that overlayfs takes its layers one by one (Linux 6.7).
    """

    root_place: str
    overlay_layers: bool
    cgroups: CgroupView
    default_devices: tuple[Device, ...]


class Container(NamedTuple):
    """One container, ready to be planned.

    ``procs`` are the cgroup.procs files it is put into; ``directories`` tells for each bind's
    source whether it is a directory; ``volumes`` are directories that the root shall have; ``init``
    asks for a reaping PID 1.
    """

    spec: RuntimeSpec
    root: RootMount
    procs: tuple[str, ...] = ()
    seccomp: Filter | None = None
    stdio: Stdio = Stdio()
    init: bool = False
    directories: Mapping[str, bool] = {}
    volumes: tuple[str, ...] = ()


def plan(container: Container, host: Host) -> Plan:
    """Return the plan that makes ``container`` on ``host``."""
    joined = [n.type for n in container.spec.linux.namespaces if n.path]
    if any(kind != "network" for kind in joined):
        raise Unsupported(f"cannot join namespaces of another container: {', '.join(joined)}")
    ahead, inside = _ahead(*_standard_part(container.spec), host), tuple(_inside(container, host))
    if joined:
        # What is made for a network must be made in it: there is nothing to do ahead.
        entered = step("setns", "network", CLONE_FLAGS["network"])
        ahead, inside = (), (entered, *ahead, *inside)
    return Plan(
        outside=tuple(step("attach", path) for path in container.procs),
        ahead=ahead,
        inside=inside,
        registers=("network",) if joined else (),
        stdio=container.stdio,
        namespaces=_clone_flags(container.spec),
    )


def _clone_flags(spec: RuntimeSpec) -> int:
    flags = 0
    for namespace in spec.linux.namespaces:
        # The cgroup namespace is entered after the room is in its cgroup, to be rooted there.
        if not namespace.path and namespace.type != "cgroup":
            flags |= CLONE_FLAGS[namespace.type]
    if not flags & CLONE_FLAGS["mount"]:
        raise InvalidArgument("a container needs a mount namespace")
    return flags


def _standard_part(
    spec: RuntimeSpec,
) -> tuple[tuple[Mount, ...], bool, tuple[tuple[str, str], ...]]:
    """Return what the ahead part depends on: standard mounts, cgroup namespace, early settings."""
    return (
        tuple(m for m in spec.mounts if _is_standard(m)),
        any(n.type == "cgroup" for n in spec.linux.namespaces),
        tuple((k, v) for k, v in spec.linux.sysctl.items() if _is_early(k)),
    )


@functools.lru_cache(64)
def _ahead(
    mounts: tuple[Mount, ...], cgroups: bool, sysctls: tuple[tuple[str, str], ...], host: Host
) -> tuple[Step, ...]:
    return tuple(_ahead_steps(mounts, cgroups, sysctls, host))


def _ahead_steps(
    mounts: tuple[Mount, ...], cgroups: bool, sysctls: tuple[tuple[str, str], ...], host: Host
) -> Iterator[Step]:
    yield step("umask", 0)  # the modes in the steps are meant; the workload gets its own at the end
    if cgroups:
        yield step("unshare", CLONE_FLAGS["cgroup"])
    for mount in mounts:
        if mount.destination == "/dev":
            places = tuple(
                m.destination.removeprefix("/dev/")
                for m in mounts
                if m.destination.startswith("/dev/")
            )
            yield from devices.tree(mount, host.default_devices, places)
        elif mount.type == "cgroup":
            yield from cgroup.made(mount, host.cgroups)
        else:
            register, kind = _STANDARD[mount.destination]
            yield from filesystem(register, kind, parse(mount.options, mount.destination))
    yield from (_sysctl(name, value) for name, value in sysctls)
    # What covers a masked directory: nothing, and nothing can be put there.
    cover = MountOptions(set=RDONLY | NOSUID | NODEV | NOEXEC, data=("mode=555", "size=4k"))
    yield from filesystem("empty", "tmpfs", cover)


def _is_early(name: str) -> bool:
    """Tell whether a setting must be there before the first interface is."""
    return name.startswith(("net.ipv4.conf.default.", "net.ipv6.conf.default."))


def _sysctl(name: str, value: str) -> Step:
    return step("write", "proc", "sys/" + name.replace(".", "/"), value.encode())


def _is_standard(mount: Mount) -> bool:
    return _STANDARD.get(mount.destination, ("", ""))[1] == mount.type


def _inside(container: Container, host: Host) -> Iterator[Step]:
    spec = container.spec
    shared = {mount: f"shared:{n}" for n, mount in enumerate(filter(is_shared, spec.mounts))}
    for mount, register in shared.items():
        yield from cloned(mount, register)
    yield from root.mounted(container.root, host.root_place, new_api=host.overlay_layers)
    for path in container.volumes:
        yield step("target", "volume", "root", path, DIRECTORY, 0o755)
        yield step("close", "volume")
    for mount in spec.mounts:
        if mount in shared:
            is_directory = container.directories.get(mount.source, True)
            yield from attached(mount, shared[mount], is_directory=is_directory)
        else:
            yield from _mount(mount, container, host)
    yield from _devices(spec, host)
    if spec.process.terminal:
        yield from _terminal(spec)
    for name, value in spec.linux.sysctl.items():
        if not _is_early(name):
            yield _sysctl(name, value)
    yield from _covers(spec)
    yield step("target", "cwd", "root", spec.process.cwd, 0, 0o755)
    yield step("close", "cwd")
    yield from root.entered(readonly=spec.root.readonly)
    if spec.hostname:
        yield step("hostname", spec.hostname)
    if spec.domainname:
        yield step("domainname", spec.domainname)
    yield from identity.taken(spec.process, container.seccomp)
    yield from identity.started(spec.process, init=container.init)


def _mount(mount: Mount, container: Container, host: Host) -> Iterator[Step]:
    if _is_standard(mount):
        if mount.type == "cgroup":
            yield from cgroup.placed_at(mount, host.cgroups)
        else:
            yield from placed(_STANDARD[mount.destination][0], mount.destination, REAL_DIRECTORY)
        return
    options = parse(mount.options, mount.destination)
    if options.bind or mount.type == "bind":
        is_directory = container.directories.get(mount.source, True)
        yield from bound(mount, is_directory=is_directory)
    elif mount.type in ("tmpfs", "proc", "sysfs", "mqueue"):
        yield from filesystem("other", mount.type, options)
        yield from placed("other", mount.destination, 0)
        yield step("close", "other")
    else:
        raise Unsupported(f"cannot mount {mount.destination}: file system type {mount.type!r}")


def _devices(spec: RuntimeSpec, host: Host) -> Iterator[Step]:
    present = {d.path for d in host.default_devices}
    yield from devices.added(tuple(d for d in spec.linux.devices if d.path not in present))


def _terminal(spec: RuntimeSpec) -> Iterator[Step]:
    size = spec.process.console_size
    rows, columns = (size.height, size.width) if size else (0, 0)
    yield step("pty", "tty", "pts", rows, columns)
    # /dev/console is the terminal itself, bound by descriptor (CVE-2025-52565).
    yield step("open_tree", "console", "tty", "", 0x1001)
    yield from placed("console", "/dev/console", FILE, 0o600)
    yield step("close", "console")


def _covers(spec: RuntimeSpec) -> Iterator[Step]:
    if spec.linux.masked_paths:
        yield step("open_in", "null", "dev", "null", 0o10000000, 0)
        yield from (step("mask", "root", p, "null", "empty") for p in spec.linux.masked_paths)
    yield from (step("readonly", "root", path) for path in spec.linux.readonly_paths)
