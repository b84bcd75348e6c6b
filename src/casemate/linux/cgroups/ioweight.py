"""Which part of a busy block device a cgroup has, beside others.

The scheduler of a device knows of weights, or does not: of those that the kernel has, BFQ does.

Source: linux Documentation/block/bfq-iosched.rst, block/bfq-cgroup.c.
"""

from __future__ import annotations

import functools
import os

from casemate.errors import InvalidArgument, Unsupported
from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.setting import Setting
from casemate.linux.cgroups.values import Limits

#: The file of a version, and that for single devices.
_FILES = {
    1: ("blkio.bfq.weight", "blkio.bfq.weight_device"),
    2: ("io.bfq.weight", "io.bfq.weight"),
}
_LEAST, _MOST = 10, 1000
_DEFAULT = "default"


def is_known(sys: str = "/sys") -> bool:
    """Tell whether a block device of this machine has a scheduler that knows weights."""
    try:
        names = os.listdir(f"{sys}/block")
    except FileNotFoundError:
        return False
    return any("[bfq]" in _text(f"{sys}/block/{name}/queue/scheduler") for name in names)


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def settings(place: Place, limits: Limits) -> list[Setting]:
    """Return what to write for the weights of ``limits``.

    Raises InvalidArgument, Unsupported where the kernel has no weights.
    """
    file, for_devices = _FILES[place.version]
    if not place.has(file):
        raise Unsupported(f"cannot weigh cgroup {place.path}: the kernel has no {file}")
    chosen = []
    if limits.io_weight is not None:
        chosen.append(_setting(file, "", limits.io_weight))
    for major, minor, weight in limits.io_weights:
        chosen.append(_setting(for_devices, f"{major}:{minor}", weight))
    return chosen


def _setting(file: str, device: str, weight: int) -> Setting:
    if not _LEAST <= weight <= _MOST:
        raise InvalidArgument(f"invalid weight {weight}: not in {_LEAST}..{_MOST}")
    text = f"{device} {weight}".strip()
    return Setting(file, text, functools.partial(_holds, device or _DEFAULT, weight))


def _holds(device: str, weight: int, text: str) -> bool:
    return _parsed(text).get(device) == weight


def _parsed(text: str) -> dict[str, int]:
    """Return the weights of a file by device; version 1 has a number alone in one file."""
    pairs = (line.split() for line in text.splitlines() if line.strip())
    return {words[0] if len(words) > 1 else _DEFAULT: int(words[-1]) for words in pairs}


def limits(place: Place) -> Limits:
    """Return the weights in force; nothing where the kernel has none. Raises OSError."""
    file, for_devices = _FILES[place.version]
    if not place.has(file):
        return Limits()
    found = _parsed(place.read(file)) | _parsed(place.read(for_devices))
    weight = found.pop(_DEFAULT, None)
    devices = (tuple(map(int, device.split(":"))) for device in sorted(found))
    return Limits(
        io_weight=weight,
        io_weights=tuple((major, minor, found[f"{major}:{minor}"]) for major, minor in devices),
    )
