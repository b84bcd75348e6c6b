"""Which processors and memory nodes a cgroup may use.

Source: linux Documentation/admin-guide/cgroup-v1/cpusets.rst; cpuset(7), list format.
"""

from __future__ import annotations

import functools
import re

from casemate.errors import InvalidArgument
from casemate.linux.cgroups.place import Place
from casemate.linux.cgroups.setting import Setting
from casemate.linux.cgroups.values import Limits

FILES = ("cpuset.cpus", "cpuset.mems")
_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
_MAX_TEXT = 4096

Ranges = tuple[tuple[int, int], ...]


def parse_list(text: str) -> Ranges:
    """Return the ranges of a list like ``0-2,7``, sorted and joined; "" is no number at all.

    Nothing is expanded, so a hostile list costs no more than its length. Raises InvalidArgument.
    """
    text = text.strip()
    if len(text) > _MAX_TEXT:
        raise InvalidArgument(f"invalid list of {len(text)} characters: at most {_MAX_TEXT}")
    ranges = []
    for part in text.split(",") if text else ():
        match = _RANGE.fullmatch(part)
        if not match or (match[2] and int(match[2]) < int(match[1])):
            raise InvalidArgument(f"invalid list {text[:80]!r}: expected numbers and ranges")
        ranges.append((int(match[1]), int(match[2] or match[1])))
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return tuple(joined)


def inside(part: Ranges, whole: Ranges) -> bool:
    """Tell whether every number of ``part`` is in ``whole``."""
    return all(any(low <= first and last <= high for low, high in whole) for first, last in part)


def common(one: Ranges, other: Ranges) -> str:
    """Return the list of the numbers that are in both."""
    found = [
        (max(first, low), min(last, high))
        for first, last in one
        for low, high in other
        if max(first, low) <= min(last, high)
    ]
    return ",".join(f"{first}-{last}" for first, last in found)


def settings(place: Place, limits: Limits) -> list[Setting]:
    """Return what to write for the cpuset part of ``limits``. Raises InvalidArgument."""
    chosen = []
    for file, text in zip(FILES, (limits.cpus, limits.mems), strict=True):
        if not text:
            continue
        asked = parse_list(text)
        check(place, file, text)
        chosen.append(Setting(file, text, functools.partial(_is_list, asked)))
    return chosen


def check(place: Place, file: str, text: str) -> None:
    """Refuse a list that the cgroup above does not have. Raises InvalidArgument, OSError."""
    above = available(place.parent(), file)
    if not inside(parse_list(text), parse_list(above)):
        what = "CPUs" if file == "cpuset.cpus" else "memory nodes"
        raise InvalidArgument(f"cannot use {what} {text}: available are {above}")


def _is_list(asked: Ranges, held: str) -> bool:
    return parse_list(held) == asked


def available(place: Place, file: str) -> str:
    """Return the list of what the cgroup has to give. Raises OSError."""
    return place.read(f"{file}.effective" if place.version == 2 else file).strip()


def limits(place: Place) -> Limits:
    """Return the processors and nodes in force. Raises OSError."""
    suffix = ".effective" if place.version == 2 else ""
    cpus, mems = (place.read(file + suffix).strip() for file in FILES)
    return Limits(cpus=cpus, mems=mems)


def inherit(place: Place) -> None:
    """Give a new version 1 cpuset what its parent has; an empty one takes no process.

    Raises OSError.
    """
    for file in FILES:
        if not place.read(file).strip():
            place.write(file, place.parent().read(file))
