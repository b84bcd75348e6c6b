"""Block devices that a container's use of is limited, as they are on the host."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from casemate.engine.model import HostConfig, ThrottleDevice, WeightDevice
from casemate.errors import InvalidArgument
from casemate.oci.runtime import BlockIo
from casemate.oci.runtime import ThrottleDevice as Throttled
from casemate.oci.runtime import WeightDevice as Weighed

_LISTS = {
    "read_bps": ("--device-read-bps", "blkio_device_read_bps"),
    "write_bps": ("--device-write-bps", "blkio_device_write_bps"),
    "read_iops": ("--device-read-iops", "blkio_device_read_iops"),
    "write_iops": ("--device-write-iops", "blkio_device_write_iops"),
}
_WEIGHTS = (10, 1000)
_LARGEST = {"bps": (1 << 64) - 1, "iops": (1 << 32) - 1}


def block_io(host: HostConfig) -> BlockIo | None:
    """Return the limits and weights of block devices, None for none. Raises InvalidArgument."""
    asked = {kind: getattr(host, field) for kind, (_, field) in _LISTS.items()}
    if not any(asked.values()) and not host.blkio_weight and not host.blkio_weight_device:
        return None
    return BlockIo(
        weight=_weight("--blkio-weight", host.blkio_weight) if host.blkio_weight else None,
        weight_device=tuple(map(_weighed, host.blkio_weight_device or ())),
        **{kind: tuple(_throttled(kind, devices or ())) for kind, devices in asked.items()},
    )


def _weight(option: str, weight: int) -> int:
    if not _WEIGHTS[0] <= weight <= _WEIGHTS[1]:
        raise InvalidArgument(f"Range of blkio weight is from 10 to 1000: {option} {weight}")
    return weight


def _weighed(device: WeightDevice) -> Weighed:
    shown = f"--blkio-weight-device {device.path[:200]}:{device.weight}"
    major, minor = _disk(device.path, shown)
    return Weighed(major, minor, _weight("--blkio-weight-device", device.weight))


def _throttled(kind: str, devices: Iterable[ThrottleDevice]) -> Iterable[Throttled]:
    option = _LISTS[kind][0]
    for device in devices:
        shown = f"{option} {device.path[:200]}:{device.rate}"
        if not 0 <= device.rate <= _LARGEST[kind.partition("_")[2]]:
            raise InvalidArgument(f"invalid {shown}: not a rate that the kernel can keep")
        yield Throttled(*_disk(device.path, shown), device.rate)


def _disk(path: str, shown: str) -> tuple[int, int]:
    """Return the numbers of the disk at ``path``; requests are counted where all of a disk's come
    together.
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(f"invalid {shown}: stat {path[:200]}: {reason.lower()}") from error
    if not stat.S_ISBLK(found.st_mode):
        raise InvalidArgument(f"invalid {shown}: it is not a block device")
    major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    if os.path.exists(f"/sys/dev/block/{major}:{minor}/partition"):
        raise InvalidArgument(f"invalid {shown}: it is a part of a disk, and only whole ones count")
    return major, minor
