"""What the user mounts: binds and tmpfs, from both spellings of the API, as mount points."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator

from casemate.engine.model import HostConfig, MountSpec
from casemate.engine.records import MountPoint
from casemate.errors import InvalidArgument, Unsupported
from casemate.oci.runtime import Mount

_MODES = frozenset({"ro", "rw"})
_PROPAGATIONS = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
#: What changes nothing here: SELinux labels without SELinux, cached views of other systems.
_IGNORED = frozenset({"z", "Z", "cached", "delegated", "consistent", "default", ""})
_TMPFS_DEFAULTS = ("nosuid", "nodev", "noexec", "size=", "mode=1777")


def parse(host: HostConfig) -> tuple[MountPoint, ...]:
    """Return every mount that ``host`` asks for. Raises InvalidArgument, Unsupported."""
    points = [*_binds(host), *_mounts(host), *_tmpfs(host)]
    seen: set[str] = set()
    for point in points:
        if point.destination in seen:
            raise InvalidArgument(f"Duplicate mount point: {point.destination}")
        seen.add(point.destination)
    return tuple(points)


def as_mount(point: MountPoint) -> Mount:
    """Return the mount of the runtime spec for ``point``."""
    if point.type == "tmpfs":
        return Mount(point.destination, "tmpfs", "tmpfs", point.options)
    mode = "rw" if point.writable else "ro"
    options = ("rbind", point.propagation or "rprivate", mode, *point.options)
    return Mount(point.destination, "bind", point.source, options)


def make_sources(host: HostConfig) -> None:
    """Make the directories that ``-v`` names and that are not there, as Docker does."""
    for text in host.binds or ():
        source = text.split(":")[0]
        if source.startswith("/") and not os.path.lexists(source):
            os.makedirs(source, 0o755, exist_ok=True)


def _binds(host: HostConfig) -> Iterator[MountPoint]:
    for text in host.binds or ():
        parts = text.split(":")
        if len(parts) not in (2, 3) or not all(parts[:2]):
            raise InvalidArgument(f"invalid volume specification: {text[:200]!r}")
        source, destination = parts[0], _destination(parts[1], text)
        if not source.startswith("/"):
            raise Unsupported(
                f"named volumes are not supported yet: {text[:200]!r}",
                hint="bind a directory by its absolute path",
            )
        yield _bind(source, destination, parts[2] if len(parts) == 3 else "", text)


def _bind(source: str, destination: str, mode: str, text: str) -> MountPoint:
    writable, propagation = True, ""
    for option in mode.split(","):
        if option in _MODES:
            writable = option == "rw"
        elif option in _PROPAGATIONS:
            propagation = option
        elif option == "nocopy":
            raise InvalidArgument(f"invalid mode: {mode}: nocopy is for volumes: {text[:200]!r}")
        elif option not in _IGNORED:
            raise InvalidArgument(f"invalid mode: {mode}: {text[:200]!r}")
    return MountPoint(
        type="bind",
        source=posixpath.normpath(source),
        destination=destination,
        mode=mode,
        writable=writable,
        propagation=propagation or "rprivate",
    )


def _mounts(host: HostConfig) -> Iterator[MountPoint]:
    for mount in host.mounts or ():
        destination = _destination(mount.target, mount.target)
        if mount.type == "bind":
            yield _bind_spec(mount, destination)
        elif mount.type == "tmpfs":
            yield _tmpfs_spec(mount, destination)
        else:
            raise Unsupported(f"mount type {mount.type[:40]!r} is not supported yet: {destination}")


def _bind_spec(mount: MountSpec, destination: str) -> MountPoint:
    options = dict(mount.bind_options or {})
    propagation = options.pop("Propagation", "") or "rprivate"
    create = options.pop("CreateMountpoint", False)
    for name, value in options.items():
        if value:
            raise Unsupported(f"bind option {name[:40]} is not supported yet: {destination}")
    if propagation not in _PROPAGATIONS:
        raise InvalidArgument(f"invalid propagation {propagation[:40]!r}: {destination}")
    if not mount.source.startswith("/"):
        raise InvalidArgument(
            f'invalid mount config for type "bind": invalid mount path: {mount.source[:200]!r}'
            " mount path must be absolute"
        )
    if create:
        os.makedirs(mount.source, 0o755, exist_ok=True)
    if not os.path.lexists(mount.source):
        raise InvalidArgument(
            f'invalid mount config for type "bind": bind source path does not exist: {mount.source}'
        )
    return MountPoint(
        type="bind",
        source=posixpath.normpath(mount.source),
        destination=destination,
        writable=not mount.read_only,
        propagation=propagation,
    )


def _tmpfs_spec(mount: MountSpec, destination: str) -> MountPoint:
    options = dict(mount.tmpfs_options or {})
    size, mode = options.pop("SizeBytes", 0), options.pop("Mode", 0)
    if any(options.values()):
        raise Unsupported(f"tmpfs option {next(iter(options))[:40]} is not supported yet")
    chosen = ["nosuid", "nodev", "noexec", f"mode={mode or 0o1777:o}"]
    if size:
        chosen.append(f"size={int(size)}")
    if mount.read_only:
        chosen.append("ro")
    return MountPoint(type="tmpfs", destination=destination, options=tuple(chosen))


def _tmpfs(host: HostConfig) -> Iterator[MountPoint]:
    for path, text in (host.tmpfs or {}).items():
        destination = _destination(path, path)
        chosen = dict.fromkeys(("nosuid", "nodev", "noexec"))
        mode = "mode=1777"
        for option in filter(None, text.split(",")):
            opposite = {"exec": "noexec", "suid": "nosuid", "dev": "nodev"}.get(option)
            if opposite:
                chosen.pop(opposite, None)
            elif option.startswith("mode="):
                mode = option
            else:
                chosen[option] = None
        yield MountPoint(type="tmpfs", destination=destination, options=(*chosen, mode))


def _destination(path: str, text: str) -> str:
    if not path.startswith("/"):
        raise InvalidArgument(
            f"invalid mount path: {path[:200]!r} mount path must be absolute ({text[:200]!r})"
        )
    clean = posixpath.normpath(path)
    if clean in ("/", "//"):
        raise InvalidArgument(f"invalid specification: destination can't be '/': {text[:200]!r}")
    return clean
