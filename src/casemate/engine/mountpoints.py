"""What the user mounts: binds, volumes and tmpfs, in both spellings of the API."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Iterator

from casemate.engine import tmpfs, volumespecs
from casemate.engine.model import BindOptions, HostConfig, MountSpec
from casemate.engine.records import MountPoint
from casemate.errors import InvalidArgument, Unsupported, from_os
from casemate.linux import mount
from casemate.oci.runtime import Mount

_MODES = frozenset({"ro", "rw"})
_SHARED, _SLAVE = ("shared", "rshared"), ("slave", "rslave")
_PROPAGATIONS = frozenset({"private", "rprivate", *_SHARED, *_SLAVE})
_MAX_SHARED = 16
#: What changes nothing here: SELinux labels without SELinux, cached views of other systems.
_IGNORED = frozenset({"z", "Z", "cached", "delegated", "consistent", "default", ""})
#: What may be replaced of /proc, on which walls are built (CVE-2019-16884): files that are only
#: read, as LXCFS does. Source: runc, rootfs.
_PROC_FILES = frozenset(
    f"/proc/{name}"
    for name in (
        "cpuinfo",
        "diskstats",
        "loadavg",
        "meminfo",
        "slabinfo",
        "stat",
        "swaps",
        "uptime",
    )
)
#: In the options of a bind: what is mounted below its source is left out, or stays writable though
#: the bind is not; the host's owners are shown as a user namespace has them.
_FLAT, _FLAT_READ_ONLY, IDMAP = "bind", "ro", "idmap"


def parse(host: HostConfig) -> tuple[MountPoint, ...]:
    """Return every mount that ``host`` asks for. Raises InvalidArgument, Unsupported."""
    points = [*_binds(host), *_mounts(host)]
    for path, text in (host.tmpfs or {}).items():
        points.append(tmpfs.of_text(_destination(path, path), text))
    seen: set[str] = set()
    for point in points:
        if point.destination in seen:
            raise InvalidArgument(f"Duplicate mount point: {point.destination}")
        seen.add(point.destination)
    if sum(point.propagation in _SHARED for point in points) > _MAX_SHARED:
        raise InvalidArgument(f"more than {_MAX_SHARED} binds with shared propagation")
    return tuple(points)


def check_propagation(points: Iterable[MountPoint]) -> None:
    """Refuse binds whose propagation the host's mounts do not have. Raises InvalidArgument."""
    wishes = [p for p in points if p.propagation in (*_SHARED, *_SLAVE)]
    found = mount.mounts() if wishes else []
    for point in wishes:
        path = os.path.realpath(point.source)
        # The last one of those that cover it is on top.
        over = [m for m in found if path == m.path or path.startswith(f"{m.path.rstrip('/')}/")]
        above = max(reversed(over), key=lambda m: len(m.path))
        kinds = ("shared:",) if point.propagation in _SHARED else ("shared:", "master:")
        if not any(option.startswith(kinds) for option in above.propagation):
            kind = "shared" if point.propagation in _SHARED else "shared or slave"
            raise InvalidArgument(
                f"path {point.source[:200]} is mounted on {above.path} but it is not a {kind} mount"
            )


def as_mount(point: MountPoint, *, mapped: bool) -> Mount:
    """Return the mount of the runtime spec for ``point``. What is mounted below a read-only bind
    is read-only, too, unless it says otherwise.

    ``mapped`` tells of a container in a user namespace. What it may write is not shown with owners
    as it has them unless that is asked for: root in it could leave files of the host's root there,
    set-user-id ones among them. Nobody on the host reaches a volume's files.
    """
    if point.type == "tmpfs":
        return Mount(point.destination, "tmpfs", "tmpfs", point.options)
    options = ["rbind", point.propagation or "rprivate"]
    if _FLAT in point.options:
        options.append(_FLAT)
    if point.writable:
        options.append("rw")
    else:
        options.append(_FLAT_READ_ONLY if _FLAT_READ_ONLY in point.options else "rro")
    if mapped:
        options += ["rnosuid", "rnodev"]
        if not point.writable or not point.of_host or IDMAP in point.options:
            options.append(IDMAP)
    return Mount(point.destination, "bind", point.source, tuple(options))


def make_sources(host: HostConfig) -> None:
    """Make the directories that ``-v`` names and that are not there, as Docker does, and those
    that ``--mount`` says to make. Raises Error.
    """
    wanted = [point.source for point in _binds(host) if point.type == "bind"]
    wanted += [
        m.source for m in host.mounts or () if m.bind_options and m.bind_options.create_mountpoint
    ]
    for source in wanted:
        if not os.path.lexists(source):
            try:
                os.makedirs(source, 0o755, exist_ok=True)
            except OSError as error:
                raise from_os(
                    error, f"error while creating mount source path '{source[:200]}'"
                ) from error


def _binds(host: HostConfig) -> Iterator[MountPoint]:
    for text in host.binds or ():
        parts = text.split(":")
        if len(parts) not in (2, 3) or not all(parts[:2]):
            raise InvalidArgument(f"invalid volume specification: {text[:200]!r}")
        source, destination = parts[0], _destination(parts[1], text)
        mode = parts[2] if len(parts) == 3 else ""
        if source.startswith("/"):
            yield _bind(source, destination, mode, text)
        else:
            yield volumespecs.of_text(source, destination, mode)


def _bind(source: str, destination: str, mode: str, text: str) -> MountPoint:
    writable, propagation = True, ""
    options: tuple[str, ...] = ()
    words = mode.split(",")
    for kind in (_MODES, _PROPAGATIONS):
        if sum(word in kind for word in words) > 1:
            raise InvalidArgument(f"invalid mode: {mode}: it contradicts itself: {text[:200]!r}")
    for option in words:
        if option in _MODES:
            writable = option == "rw"
        elif option == IDMAP:
            options = (IDMAP,)
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
        options=options,
    )


def _mounts(host: HostConfig) -> Iterator[MountPoint]:
    for spec in host.mounts or ():
        destination = _destination(spec.target, spec.target)
        if spec.type == "bind":
            _refuse(spec, destination, "tmpfs_options", "volume_options", "image_options")
            yield _bind_spec(spec, destination)
        elif spec.type == "tmpfs":
            _refuse(spec, destination, "bind_options", "volume_options", "image_options")
            yield tmpfs.of_spec(spec, destination)
        elif spec.type == "volume":
            _refuse(spec, destination, "bind_options", "tmpfs_options", "image_options")
            yield volumespecs.of_spec(spec, destination)
        else:
            raise Unsupported(f"mount type {spec.type[:40]!r} is not supported yet: {destination}")


def _refuse(spec: MountSpec, destination: str, *fields: str) -> None:
    for field in (*fields, "cluster_options"):
        if getattr(spec, field):
            raise InvalidArgument(
                f"invalid mount config for type {spec.type!r}: {field.replace('_', ' ')} are for"
                f" another type: {destination}"
            )


def _bind_spec(spec: MountSpec, destination: str) -> MountPoint:
    options = spec.bind_options or BindOptions()
    _check_depth(spec, options)
    propagation = options.propagation or "rprivate"
    if propagation not in _PROPAGATIONS:
        raise InvalidArgument(f"invalid propagation {propagation[:40]!r}: {destination}")
    if not spec.source.startswith("/"):
        raise InvalidArgument(
            f'invalid mount config for type "bind": invalid mount path: {spec.source[:200]!r}'
            " mount path must be absolute"
        )
    if not options.create_mountpoint and not os.path.lexists(spec.source):
        raise InvalidArgument(
            f'invalid mount config for type "bind": bind source path does not exist: {spec.source}'
        )
    return MountPoint(
        type="bind",
        source=posixpath.normpath(spec.source),
        destination=destination,
        writable=not spec.read_only,
        propagation=propagation,
        options=(_FLAT,) * options.non_recursive
        + (_FLAT_READ_ONLY,) * options.read_only_non_recursive,
    )


def _check_depth(spec: MountSpec, options: BindOptions) -> None:
    """Refuse what contradicts itself. Read-only is recursive here in any case, or an error."""
    flat, deep = options.read_only_non_recursive, options.read_only_force_recursive
    for name, given in (("ReadOnlyNonRecursive", flat), ("ReadOnlyForceRecursive", deep)):
        if given and not spec.read_only:
            raise InvalidArgument(
                f"mount options conflict: !ReadOnly && {name}: {spec.target[:200]}"
            )
    if flat and deep:
        raise InvalidArgument(
            "mount options conflict: ReadOnlyNonRecursive && ReadOnlyForceRecursive:"
            f" {spec.target[:200]}"
        )


def is_flat(point: MountPoint) -> bool:
    """Tell whether what is mounted below the source of a bind is left out."""
    return _FLAT in point.options


def _destination(path: str, text: str) -> str:
    if not path.startswith("/"):
        raise InvalidArgument(
            f"invalid mount path: {path[:200]!r} mount path must be absolute ({text[:200]!r})"
        )
    clean = volumespecs.clean(path)
    if clean == "/":
        raise InvalidArgument(f"invalid specification: destination can't be '/': {text[:200]!r}")
    if clean == "/proc" or (clean.startswith("/proc/") and clean not in _PROC_FILES):
        raise InvalidArgument(f"cannot mount over {clean[:200]}: the container needs its own")
    return clean
