"""Block devices that a container's use of is limited, as they are on the host."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from casemate.engine.model import HostConfig, ThrottleDevice
from casemate.errors import InvalidArgument
from casemate.oci.runtime import BlockIo
from casemate.oci.runtime import ThrottleDevice as Numbered

_LISTS = {
    "read_bps": ("--device-read-bps", "blkio_device_read_bps"),
    "write_bps": ("--device-write-bps", "blkio_device_write_bps"),
    "read_iops": ("--device-read-iops", "blkio_device_read_iops"),
    "write_iops": ("--device-write-iops", "blkio_device_write_iops"),
}
_LARGEST = {"bps": (1 << 64) - 1, "iops": (1 << 32) - 1}


def block_io(host: HostConfig) -> BlockIo | None:
    """Return the limits of block devices, None for none. Raises InvalidArgument."""
    asked = {kind: getattr(host, field) for kind, (_, field) in _LISTS.items()}
    if not any(asked.values()):
        return None
    return BlockIo(
        **{kind: tuple(_numbered(kind, devices or ())) for kind, devices in asked.items()}
    )


def _numbered(kind: str, devices: Iterable[ThrottleDevice]) -> Iterable[Numbered]:
    option = _LISTS[kind][0]
    for device in devices:
        shown = f"{option} {device.path[:200]}:{device.rate}"
        if not 0 <= device.rate <= _LARGEST[kind.partition("_")[2]]:
            raise InvalidArgument(f"invalid {shown}: not a rate that the kernel can keep")
        try:
            found = os.stat(device.path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InvalidArgument(
                f"invalid {shown}: stat {device.path[:200]}: {reason.lower()}"
            ) from error
        if not stat.S_ISBLK(found.st_mode):
            raise InvalidArgument(f"invalid {shown}: it is not a block device")
        major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
        # Requests are counted where all of a disk's come together.
        if os.path.exists(f"/sys/dev/block/{major}:{minor}/partition"):
            raise InvalidArgument(
                f"invalid {shown}: it is a part of a disk, and only whole ones count"
            )
        yield Numbered(major, minor, device.rate)
