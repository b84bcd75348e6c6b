"""Device nodes of the host in a container: those of ``--device``, and of ``--privileged`` all.

Source: moby daemon/oci_linux.go; runc libcontainer/devices, GetDevices, for what is left out.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator

from casemate.engine.model import DeviceMapping, HostConfig
from casemate.errors import InvalidArgument, from_os
from casemate.oci.runtime import Device, DeviceRule
from casemate.walls import devices

_DEV = "/dev"
#: Directories that hold no devices of the machine, but terminals, memory and descriptors.
_NOT_ENTERED = frozenset(("fd", "mqueue", "pts", "shm", ".lxc", ".lxd-mounts", ".udev"))
#: The container has its own, of its terminals; below the others nothing can be made.
_OWN = frozenset((f"{_DEV}/console", f"{_DEV}/ptmx"))
_TAKEN = frozenset(("core", "fd", "mqueue", "pts", "shm", "stderr", "stdin", "stdout"))
_STANDARD = {device.path: device for device in devices.DEFAULT}
_MAX_DEVICES = 4096
_MAX_DEPTH = 8


def nodes(host: HostConfig) -> tuple[Device, ...]:
    """Return the nodes that ``host`` asks for, as they are on the host. Raises InvalidArgument."""
    found = {d.path: d for d in _all()} if host.privileged else {}
    for mapping in host.devices or ():
        found |= {device.path: device for device in _mapped(mapping)}
    return tuple(device for path, device in found.items() if path not in _OWN)


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


def _all() -> list[Device]:
    try:
        return list(_below(_DEV, _DEV, _MAX_DEPTH))
    except OSError as error:
        raise from_os(error, "cannot list the devices of the host") from error


def _mapped(mapping: DeviceMapping) -> list[Device]:
    """Return the device that ``mapping`` names, or all of the directory that it names."""
    what, source = mapping.path_on_host[:200], os.path.realpath(mapping.path_on_host)
    path = posixpath.normpath(mapping.path_in_container or mapping.path_on_host)
    failure = f'error gathering device information while adding custom device "{what}"'
    if not mapping.path_on_host.startswith("/"):
        raise InvalidArgument(f"{failure}: the path is not absolute")
    try:
        status = os.stat(source)
        found = list(_below(source, path, _MAX_DEPTH)) if stat.S_ISDIR(status.st_mode) else []
    except OSError as error:
        raise InvalidArgument(f"{failure}: {os.strerror(error.errno or 0).lower()}") from error
    if _kind(status):
        found = [_device(path, status)]
    if not found:
        raise InvalidArgument(f"{what}: not a device node")
    for device in found:
        _check_place(device)
    return found


def _check_place(device: Device) -> None:
    path = device.path
    if not path.startswith(f"{_DEV}/"):
        raise InvalidArgument(f"cannot make device {path[:200]}: it is not below {_DEV}")
    own = _STANDARD.get(path, device)
    is_own = (own.type, own.major, own.minor) == (device.type, device.major, device.minor)
    if path.split("/")[2] in _TAKEN or not is_own:
        raise InvalidArgument(f"cannot make device {path[:200]}: every container has its own")


def _below(directory: str, path: str, depth: int) -> Iterator[Device]:
    """Yield the devices below ``directory``, in order, as they are below ``path``; links are not
    followed. Raises InvalidArgument for too many, OSError.
    """
    with os.scandir(directory) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    if len(listed) > _MAX_DEVICES:
        raise InvalidArgument(f"{directory[:200]}: more than {_MAX_DEVICES} entries")
    for entry in listed:
        inside = f"{path}/{entry.name}"
        try:
            if entry.is_dir(follow_symlinks=False):
                if depth and entry.name not in _NOT_ENTERED:
                    yield from _below(entry.path, inside, depth - 1)
            elif _kind(status := entry.stat(follow_symlinks=False)):
                yield _device(inside, status)
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
