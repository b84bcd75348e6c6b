"""Device nodes of the host in a container: those of ``--device``, and of ``--privileged`` all.

Source: moby daemon/oci_linux.go; runc libcontainer/devices, GetDevices, for what is left out.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator

from casemate.engine.model import DeviceMapping, HostConfig
from casemate.errors import InvalidArgument, NotFound
from casemate.oci.runtime import Device, DeviceRule
from casemate.walls import devices

_DEV = "/dev"
#: Directories that hold no devices of the machine, but terminals, memory and descriptors.
_NOT_ENTERED = frozenset(("fd", "mqueue", "pts", "shm", ".lxc", ".lxd-mounts", ".udev"))
#: The container has its own.
_OWN = frozenset((f"{_DEV}/console", f"{_DEV}/ptmx"))
_MAX_DEVICES = 4096
_MAX_DEPTH = 8


def nodes(host: HostConfig) -> tuple[Device, ...]:
    """Return the nodes that ``host`` asks for, as they are on the host. Raises NotFound,
    InvalidArgument.
    """
    found = {device.path: device for device in _all()} if host.privileged else {}
    for mapping in host.devices or ():
        found |= {device.path: device for device in _mapped(mapping)}
    return tuple(found.values())


def rules(host: HostConfig) -> Iterable[DeviceRule]:
    """Yield what the device cgroup is to allow because of ``host``. Raises as ``nodes``."""
    for mapping in host.devices or ():
        access = mapping.cgroup_permissions or "rwm"
        if not set(access) <= set("rwm"):
            raise InvalidArgument(
                f"invalid device access {access[:40]!r}: expected letters of rwm:"
                f" {mapping.path_on_host[:200]}"
            )
        for device in _mapped(mapping):
            yield DeviceRule(True, device.type, device.major, device.minor, access)
    for text in host.device_cgroup_rules or ():
        yield devices.parse_rule(text)


def _all() -> Iterator[Device]:
    for path, status in _below(_DEV, _MAX_DEPTH):
        if path not in _OWN:
            yield _device(path, status)


def _mapped(mapping: DeviceMapping) -> list[Device]:
    """Return the device that ``mapping`` names, or all of the directory that it names."""
    source = os.path.realpath(mapping.path_on_host)
    what = mapping.path_on_host[:200]
    try:
        status = os.stat(source)
    except OSError as error:
        raise NotFound(
            f"error gathering device information while adding custom device"
            f' "{what}": no such file or directory'
        ) from error
    path = posixpath.normpath(mapping.path_in_container or mapping.path_on_host)
    if stat.S_ISDIR(status.st_mode):
        at = len(source.rstrip("/"))
        found = [_device(path + p[at:], s) for p, s in _below(source, _MAX_DEPTH)]
    else:
        found = [_device(path, status)] if _kind(status) else []
    if not found:
        raise InvalidArgument(f"{what}: not a device node")
    for device in found:
        if not device.path.startswith(f"{_DEV}/"):
            raise InvalidArgument(f"cannot make device {device.path[:200]}: it is not below {_DEV}")
    return found


def _below(directory: str, depth: int) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the device nodes below ``directory``, in order; links are not followed."""
    with os.scandir(directory) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    if len(listed) > _MAX_DEVICES:
        raise InvalidArgument(f"{directory[:200]}: more than {_MAX_DEVICES} entries")
    for entry in listed:
        try:
            if entry.is_dir(follow_symlinks=False):
                if depth and entry.name not in _NOT_ENTERED:
                    yield from _below(entry.path, depth - 1)
            elif _kind(status := entry.stat(follow_symlinks=False)):
                yield entry.path, status
        except FileNotFoundError:
            continue  # unplugged in between


def _kind(status: os.stat_result) -> str:
    """Return how the runtime spec calls a device, "" for what is none."""
    if stat.S_ISCHR(status.st_mode):
        return "c"
    return "b" if stat.S_ISBLK(status.st_mode) else ""


def _device(path: str, status: os.stat_result) -> Device:
    return Device(
        path=path,
        type=_kind(status),
        major=os.major(status.st_rdev),
        minor=os.minor(status.st_rdev),
        file_mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
    )
