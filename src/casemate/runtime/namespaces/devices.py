"""Steps for /dev: a fresh tmpfs with the device nodes of the spec, never the image's own."""

from __future__ import annotations

from collections.abc import Iterator

from casemate.errors import Unsupported
from casemate.oci.runtime import Device, Mount
from casemate.runtime.mountoptions import parse
from casemate.runtime.namespaces.mounts import filesystem
from casemate.runtime.steps import Step, step

_TYPES = {"c": 0o020000, "u": 0o020000, "b": 0o060000, "p": 0o010000}

# Source: runtime-spec config-linux.md, section Dev symbolic links.
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "core": "/proc/kcore",
    "ptmx": "pts/ptmx",
}


def tree(mount: Mount, devices: tuple[Device, ...], places: tuple[str, ...]) -> Iterator[Step]:
    """Make the tmpfs of ``mount`` in register ``dev`` with ``devices``, links and mount
    ``places``.
    """
    yield from filesystem("dev", mount.type, parse(mount.options, mount.destination))
    made: set[str] = set()
    yield from _nodes(devices, made)
    yield from furnished(places, made)


def furnished(places: tuple[str, ...], made: set[str]) -> Iterator[Step]:
    """Make the links and the mount ``places``, but for the directories that are ``made``."""
    yield from (step("symlink", to, "dev", name) for name, to in _LINKS.items())
    for place in places:
        if place not in made:
            made.add(place)
            yield from _parents(place, made)
            yield step("mkdir", "dev", place, 0o755)


def added(devices: tuple[Device, ...]) -> Iterator[Step]:
    """Make more ``devices`` in the tree that is there already."""
    yield from _nodes(devices, set())


def _nodes(devices: tuple[Device, ...], made: set[str]) -> Iterator[Step]:
    for device in devices:
        path = device.path.removeprefix("/dev/")
        if path == device.path or ".." in path.split("/"):
            raise Unsupported(f"cannot make device {device.path}: it is not below /dev")
        yield from _parents(path, made)
        yield step(
            "mknod",
            "dev",
            path,
            _TYPES[device.type] | device.file_mode,
            device.major << 32 | device.minor,
            device.uid,
            device.gid,
        )


def _parents(path: str, made: set[str]) -> Iterator[Step]:
    parts = path.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        parent = "/".join(parts[:end])
        if parent not in made:
            made.add(parent)
            yield step("mkdir", "dev", parent, 0o755)
