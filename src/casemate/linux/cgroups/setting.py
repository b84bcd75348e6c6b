"""Write control files and read each value back: the kernel rounds, clamps and ignores.

A controller's module says what to write as ``Setting`` values; ``apply`` does it in order.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

from casemate.errors import Conflict, Error, InvalidArgument, Unsupported, from_os
from casemate.linux.cgroups.place import Place

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Setting(NamedTuple):
    """``value`` for the control file ``file``; ``holds`` judges what is read back.

    One that is not ``lasting`` is a step on the way to the next ones.
    """

    file: str
    value: str
    holds: Callable[[str], bool]
    lasting: bool = True


def same(file: str, value: str) -> Setting:
    """Return a setting that must read back as it was written."""
    return Setting(file, value, lambda text: text.strip() == value)


def size(file: str, size_bytes: int, *, unlimited: str) -> Setting:
    """Return a setting in bytes, of which the kernel keeps whole pages; -1 lifts the limit."""
    if size_bytes < 0:
        return Setting(file, unlimited, lambda text: parse_size(text) < 0)
    kept = whole_pages(size_bytes)
    return Setting(file, str(size_bytes), lambda text: parse_size(text) == kept)


def whole_pages(size_bytes: int) -> int:
    """Return ``size_bytes`` rounded down to pages."""
    return size_bytes // _PAGE * _PAGE


def parse_size(text: str) -> int:
    """Return a limit as the kernel prints it, -1 for none."""
    text = text.strip()
    # Version 1 prints the largest number of pages that fits into a long.
    if text == "max" or int(text) >= 1 << 62:
        return -1
    return int(text)


def apply(place: Place, settings: Iterable[Setting]) -> None:
    """Write ``settings`` in order and read each back.

    Raises InvalidArgument for a value that the kernel does not take or keep, Conflict for one
    that the present use forbids, Unsupported for one that this kernel does not know.
    """
    for setting in settings:
        try:
            place.write(setting.file, setting.value)
            held = place.read(setting.file)
        except OSError as error:
            raise refused(place, setting, error) from error
        if not setting.holds(held):
            raise InvalidArgument(
                f"cannot set {setting.file} of cgroup {place.path} to {setting.value}:"
                f" the kernel keeps {held.strip()[:80]!r}"
            )


def unheld(place: Place, settings: Iterable[Setting]) -> list[str]:
    """Return in words which of ``settings`` are not in force. Raises OSError."""
    lasting = [setting for setting in settings if setting.lasting]
    held = {setting.file: place.read(setting.file) for setting in lasting}
    return [
        f"{setting.file} is {held[setting.file].strip()[:80]!r} instead of {setting.value!r}"
        for setting in lasting
        if not setting.holds(held[setting.file])
    ]


def refused(place: Place, setting: Setting, error: OSError) -> Error:
    """Return the error that names the value which the kernel did not take."""
    what = f"cannot set {setting.file} of cgroup {place.path} to {setting.value[:80]}"
    if error.errno == errno.ENOENT and not place.has("cgroup.procs"):
        return from_os(error, f"{what}: there is no such cgroup")
    if error.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV):
        return Unsupported(f"{what}: this kernel has no such setting")
    if error.errno in (errno.EINVAL, errno.ERANGE, errno.E2BIG, errno.ENOSPC):
        return InvalidArgument(f"{what}: {os.strerror(error.errno).lower()}")
    if error.errno == errno.EBUSY:
        return Conflict(f"{what}: more than that is in use")
    return from_os(error, what)
