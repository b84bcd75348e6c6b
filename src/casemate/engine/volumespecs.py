"""Which volumes a container mounts: named ones, those without a name, and those of others.

Source: docker run --volume, --mount, --volumes-from; moby volume/mounts/linux_parser.go for what
is allowed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from casemate.engine.model import Config, HostConfig, MountSpec, VolumeOptions
from casemate.engine.names import new_id
from casemate.engine.records import MountPoint, Record, Records
from casemate.errors import InvalidArgument, Unsupported
from casemate.volume.model import checked_name
from casemate.walls.standard import SHM

_DRIVERS = ("", "local")
#: What ``-v`` may say of a volume; labels of SELinux change nothing without it.
_FLAGS = frozenset(("rw", "ro", "nocopy", "z", "Z", ""))
#: What an image may not have covered, on which walls are built (CVE-2019-16884).
_KERNELS = frozenset(("dev", "proc", "sys"))
_FROM_MODES = frozenset(("rw", "ro", "z", "Z", ""))


def of_text(name: str, destination: str, mode: str) -> MountPoint:
    """Return the volume of ``-v NAME:DESTINATION[:MODE]``. Raises InvalidArgument."""
    flags = mode.split(",")
    if not _FLAGS.issuperset(flags) or {"ro", "rw"} <= set(flags):
        raise InvalidArgument(f"invalid mode: {mode[:80]}")
    return MountPoint(
        type="volume",
        name=checked_name(name),
        destination=destination,
        mode=mode or "z",
        writable="ro" not in flags,
        filled="nocopy" not in flags,
    )


def of_spec(spec: MountSpec, destination: str) -> MountPoint:
    """Return the volume of ``--mount type=volume``. Raises InvalidArgument, Unsupported."""
    options = spec.volume_options or VolumeOptions()
    if options.subpath:
        raise Unsupported(f"volume-subpath is not supported yet: {destination}")
    if options.driver_config.name not in _DRIVERS:
        raise Unsupported(
            f"volume driver {options.driver_config.name[:80]!r} is not supported: only local is"
        )
    return MountPoint(
        type="volume",
        name=checked_name(spec.source) if spec.source else new_id(),
        destination=destination,
        mode="z",
        writable=not spec.read_only,
        filled=not options.no_copy,
        nameless=not spec.source,
    )


def clean(path: str) -> str:
    """Return the absolute ``path`` with nothing in it that leads back or nowhere."""
    return "/" + posixpath.normpath(path).lstrip("/")


def asked(host: HostConfig) -> Mapping[str, VolumeOptions]:
    """Return what ``--mount`` says of the volumes that it makes, by their destinations."""
    found = {}
    for spec in host.mounts or ():
        if spec.type == "volume" and spec.volume_options:
            found[clean(spec.target)] = spec.volume_options
    return found


def complete(
    points: Iterable[MountPoint], config: Config, host: HostConfig, records: Records
) -> tuple[MountPoint, ...]:
    """Return ``points`` with what other containers mount and the image's own volumes.

    What the user mounts somewhere is there; of the others whatever comes first. Raises
    InvalidArgument, NotFound.
    """
    found = {point.destination: point for point in points}
    for text in host.volumes_from or ():
        for point in _of_another(text, records):
            found.setdefault(point.destination, point)
    for path in sorted(config.volumes or ()):
        destination = _absolute(path)
        if destination not in found:
            found[destination] = MountPoint(
                type="volume", name=new_id(), destination=destination, filled=True, nameless=True
            )
    return tuple(found.values())


def _of_another(text: str, records: Records) -> Iterator[MountPoint]:
    name, _, mode = text.partition(":")
    flags = mode.split(",")
    if not _FROM_MODES.issuperset(flags) or {"ro", "rw"} <= set(flags):
        raise InvalidArgument(f"invalid mode {mode[:80]!r}: --volumes-from {text[:200]}")
    for point in _mounted(records.find(name)):
        yield msgspec.structs.replace(
            point, writable=point.writable and "ro" not in flags, filled=False
        )


def _mounted(record: Record) -> list[MountPoint]:
    return [point for point in record.fixed.mounts if point.type != "tmpfs"]


def _absolute(path: str) -> str:
    found = clean(path)
    if not path.startswith("/") or found == "/":
        raise InvalidArgument(f"invalid volume {path[:200]!r}: it must be an absolute path, not /")
    if found.split("/")[1] in _KERNELS and found != SHM.destination:
        raise InvalidArgument(
            f"cannot mount a volume over {found[:200]}: the container has its own"
        )
    return found
