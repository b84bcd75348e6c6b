"""What a cgroup read from and wrote to block devices.

Source: linux Documentation/admin-guide/cgroup-v1/blkio-controller.rst, cgroup-v2.rst io.stat.
"""

from __future__ import annotations

from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.values import Io

_BYTES_V1 = "blkio.throttle.io_service_bytes_recursive"
_COUNTS_V1 = "blkio.throttle.io_serviced_recursive"


def usage(place: Place) -> tuple[Io, ...]:
    """Return one value for each device that was used. Raises OSError."""
    if place.version == 2:
        lines = (line.split() for line in place.read("io.stat").splitlines())
        return tuple(_v2(fields[0], fields[1:]) for fields in lines if fields)
    sizes, counts = _v1(place.read(_BYTES_V1)), _v1(place.read(_COUNTS_V1))
    return tuple(
        Io(
            *device,
            sizes.get((*device, "Read"), 0),
            sizes.get((*device, "Write"), 0),
            counts.get((*device, "Read"), 0),
            counts.get((*device, "Write"), 0),
        )
        for device in sorted({(major, minor) for major, minor, _ in (*sizes, *counts)})
    )


def _v1(text: str) -> dict[tuple[int, int, str], int]:
    result = {}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3:
            major, minor = fields[0].split(":")
            result[int(major), int(minor), fields[1]] = int(fields[2])
    return result


def _v2(device: str, fields: list[str]) -> Io:
    major, minor = device.split(":")
    values = dict(field.split("=", 1) for field in fields)
    read, written, reads, writes = (
        int(values.get(key, 0)) for key in ("rbytes", "wbytes", "rios", "wios")
    )
    return Io(int(major), int(minor), read, written, reads, writes)
