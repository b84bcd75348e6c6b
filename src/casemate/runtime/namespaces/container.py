"""The plan of a container: from an empty room to the workload's first instruction."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from casemate.errors import InvalidArgument, Unsupported
from casemate.oci.runtime import Device, Mount, RuntimeSpec
from casemate.runtime.mountoptions import NODEV, NOEXEC, NOSUID, RDONLY, MountOptions, parse
from casemate.runtime.namespaces import cgroup, devices, identity, root, user
from casemate.runtime.namespaces.cgroup import CgroupView
from casemate.runtime.namespaces.clone import CLONE_FLAGS
from casemate.runtime.namespaces.mounts import (
    FILE,
    REAL_DIRECTORY,
    adjusted,
    attached,
    bound,
    cloned,
    filesystem,
    is_shared,
    placed,
    put,
)
from casemate.runtime.plan import Plan, Stdio
from casemate.runtime.steps import Step, step
from casemate.snapshot.mounts import RootMount
from casemate.walls.landlock import Ruleset
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
    source whether it is a directory; ``init``
    asks for a reaping PID 1. ``borrowed`` are mounts that are another container's: the register of
    a process of that one, by the destination.
    """

    spec: RuntimeSpec
    root: RootMount
    procs: tuple[str, ...] = ()
    seccomp: Filter | None = None
    landlock: Ruleset | None = None
    stdio: Stdio = Stdio()
    init: bool = False
    directories: Mapping[str, bool] = {}
    borrowed: Mapping[str, str] = {}


def plan(container: Container, host: Host) -> Plan:
    """Return the plan that makes ``container`` on ``host``.

    ``registers`` of the plan are the kinds of namespaces that are joined: pidfds are to be passed.
    A process namespace is not among them: only who is born in it can be in it.
    """
    spec = container.spec
    joined = tuple(n.type for n in spec.linux.namespaces if n.path and n.type != "pid")
    ahead = _ahead(_standard_part(spec), host)
    if spec.linux.uid_mappings:
        return _plan_of_a_user(container, host, ahead)
    inside = tuple(_inside(container, host))
    if joined:
        # What is made for a namespace must be made in it: there is nothing to do ahead.
        entered = tuple(step("setns", kind, CLONE_FLAGS[kind]) for kind in joined)
        ahead, inside = (), (*entered, *ahead, *inside)
    return Plan(
        outside=tuple(step("attach", path) for path in container.procs),
        ahead=ahead,
        inside=inside,
        registers=joined,
        stdio=container.stdio,
        namespaces=_clone_flags(spec),
        divides=cgroup.divides(spec),
    )


def _plan_of_a_user(container: Container, host: Host, ahead: tuple[Step, ...]) -> Plan:
    """Return the plan of a container in a user namespace, where much is made by the supervisor."""
    spec = container.spec
    binds = {m: f"bind:{n}" for n, m in enumerate(filter(_is_bind, spec.mounts))}
    before, made = user.made(spec, container.root, binds)
    return Plan(
        outside=(*(step("attach", path) for path in container.procs), *user.mapped(spec)),
        ahead=ahead,
        before=(*identity.weighed(spec.process), *before),
        inside=tuple(_inside_a_user(container, host, binds)),
        made=made,
        stdio=container.stdio,
        namespaces=_clone_flags(spec),
        divides=cgroup.divides(spec),
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


class _Ahead(NamedTuple):
    """What the ahead part depends on: standard mounts, new namespaces, early settings."""

    mounts: tuple[Mount, ...]
    cgroups: bool
    user: bool
    sysctls: tuple[tuple[str, str], ...]


def _standard_part(spec: RuntimeSpec) -> _Ahead:
    new = {n.type for n in spec.linux.namespaces if not n.path}
    return _Ahead(
        mounts=tuple(m for m in spec.mounts if _is_standard(m)),
        cgroups="cgroup" in new,
        user="user" in new,
        sysctls=tuple((k, v) for k, v in spec.linux.sysctl.items() if _is_early(k)),
    )


@functools.lru_cache(64)
def _ahead(part: _Ahead, host: Host) -> tuple[Step, ...]:
    return tuple(_ahead_steps(part, host))


def _ahead_steps(part: _Ahead, host: Host) -> Iterator[Step]:
    if part.user:
        yield from user.owned(host.root_place)
    yield step("umask", 0)  # the modes in the steps are meant; the workload gets its own at the end
    if part.cgroups:
        yield step("unshare", CLONE_FLAGS["cgroup"])
    for mount in part.mounts:
        if mount.destination == "/dev":
            if not part.user:
                yield from devices.tree(mount, host.default_devices, _places(part.mounts))
        elif mount.type in cgroup.KINDS:
            yield from cgroup.made(mount, host.cgroups)
        else:
            register, kind = _STANDARD[mount.destination]
            yield from filesystem(register, kind, parse(mount.options, mount.destination))
    yield from (_sysctl(name, value) for name, value in part.sysctls)
    # What covers a masked directory: nothing, and nothing can be put there.
    cover = MountOptions(set=RDONLY | NOSUID | NODEV | NOEXEC, data=("mode=555", "size=4k"))
    yield from filesystem("empty", "tmpfs", cover)


def _places(mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Return where below /dev something is mounted."""
    below = (m.destination for m in mounts if m.destination.startswith("/dev/"))
    return tuple(path.removeprefix("/dev/") for path in below)


def _is_early(name: str) -> bool:
    """Tell whether a setting must be there before the first interface is."""
    return name.startswith(("net.ipv4.conf.default.", "net.ipv6.conf.default."))


def _sysctl(name: str, value: str) -> Step:
    return step("write", "proc", "sys/" + name.replace(".", "/"), value.encode())


def _is_standard(mount: Mount) -> bool:
    _, kind = _STANDARD.get(mount.destination, ("", ""))
    return kind == mount.type or (kind in cgroup.KINDS and mount.type in cgroup.KINDS)


def _inside(container: Container, host: Host) -> Iterator[Step]:
    spec = container.spec
    shared = {mount: f"shared:{n}" for n, mount in enumerate(filter(is_shared, spec.mounts))}
    for mount, register in shared.items():
        yield from cloned(mount, register)
    yield from root.mounted(container.root, host.root_place, new_api=host.overlay_layers)
    for mount in spec.mounts:
        if mount in shared:
            is_directory = container.directories.get(mount.source, True)
            yield from attached(mount, shared[mount], is_directory=is_directory)
        else:
            yield from _mount(mount, container, host)
    yield from _devices(spec, host)
    yield from _finished(container, identity.weighed(spec.process))


def _inside_a_user(container: Container, host: Host, binds: Mapping[Mount, str]) -> Iterator[Step]:
    spec = container.spec
    yield step("move_mount", "root", "place")
    yield step("close", "place")
    standard = tuple(m for m in spec.mounts if _is_standard(m))
    parents = {d.path.removeprefix("/dev/").rpartition("/")[0] for d in spec.linux.devices}
    yield from devices.furnished(_places(standard), parents)
    for mount in spec.mounts:
        if mount in binds:
            is_directory = container.directories.get(mount.source, True)
            yield from put(mount, binds[mount], is_directory=is_directory)
        else:
            yield from _mount(mount, container, host)
    yield from _finished(container, ())


def _finished(container: Container, weighed: Iterable[Step]) -> Iterator[Step]:
    """What is the same for every container, when its root is whole."""
    spec = container.spec
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
    yield from weighed
    yield from identity.taken(spec.process, container.seccomp, container.landlock)
    yield from identity.started(spec.process, init=container.init)


def _mount(mount: Mount, container: Container, host: Host) -> Iterator[Step]:
    if _is_standard(mount):
        if mount.type in cgroup.KINDS:
            yield from cgroup.placed_at(mount, host.cgroups)
        else:
            yield from placed(_STANDARD[mount.destination][0], mount.destination, REAL_DIRECTORY)
        return
    options = parse(mount.options, mount.destination)
    if mount.destination in container.borrowed:
        peer = container.borrowed[mount.destination]
        yield step("tree_from", "borrowed", peer, mount.destination)
        yield from adjusted(options, "borrowed")
        yield from put(mount, "borrowed", is_directory=True)
    elif _is_bind(mount):
        is_directory = container.directories.get(mount.source, True)
        yield from bound(mount, is_directory=is_directory)
    elif mount.type in ("tmpfs", "proc", "sysfs", "mqueue"):
        yield from filesystem("other", mount.type, options)
        yield from placed("other", mount.destination, 0)
        yield step("close", "other")
    else:
        raise Unsupported(f"cannot mount {mount.destination}: file system type {mount.type!r}")


def _is_bind(mount: Mount) -> bool:
    return mount.type == "bind" or not {"bind", "rbind"}.isdisjoint(mount.options)


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
